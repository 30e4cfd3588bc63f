"""SPMA and MDPO under function approximation: the step of the table, projected on the policy class by inner steps.

For any `Policy`, meant for `LogLinearPolicy`. Theta has leading axes of runs; losses are [...], one per run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .checks import Array
from .gradients import per_run
from .mdp import FiniteMDP
from .policies import Policy
from .steps import Armijo
from .updates import log_tilt

LossAndGradient = Callable[[Array], tuple[Array, Array]]


def spma_projected(
    mdp: FiniteMDP, policy: Policy, theta: Array, eta: ArrayLike, n_inner: int, step: ArrayLike | Armijo
) -> Array:
    """SPMA: n_inner gradient steps on l(theta) = sum_s d(s) KL(pi_half(s) || pi_theta(s)), pi_half = pi (1 + eta A).

    A weighted cross-entropy, convex in theta for log-linear softmax policies (arXiv 2411.12042, Algorithm 1); warm
    start at theta. Where 1 + eta A < 0: a StepSizeWarning, and the target is cut at zero and renormalised.

    Raises:
        ValueError: for a policy that may have zeros.
    """
    old, weights, advantages = _frozen(mdp, policy, theta)
    target = old * np.exp(log_tilt(per_run(eta, 2) * advantages))
    target /= target.sum(-1, keepdims=True)

    def loss_and_gradient(x: Array) -> tuple[Array, Array]:
        probs, log_probs = policy.probs(x), policy.log_probs(x)
        return -(weights * target * log_probs).sum((-2, -1)), policy.vjp(x, probs, -weights * target / probs)

    return _descend(loss_and_gradient, theta, n_inner, step, policy.param_dims)


def mdpo_projected(
    mdp: FiniteMDP, policy: Policy, theta: Array, eta: ArrayLike, n_inner: int, step: ArrayLike | Armijo
) -> Array:
    """MDPO: n_inner gradient steps on sum_s d(s) (KL(pi_theta(s) || pi(s)) / eta - <pi_theta(s), A(s, .)>).

    Warm start at theta, where the gradient of the KL is zero: with n_inner = 1 this is vanilla policy gradient
    (arXiv 2005.09814).

    Raises:
        ValueError: for a policy that may have zeros.
    """
    _, weights, advantages = _frozen(mdp, policy, theta)
    old_log, inverse = policy.log_probs(theta), 1.0 / per_run(eta, 2)

    def loss_and_gradient(x: Array) -> tuple[Array, Array]:
        probs, log_ratio = policy.probs(x), policy.log_probs(x) - old_log
        slope = inverse * log_ratio - advantages
        return (weights * probs * slope).sum((-2, -1)), policy.vjp(x, probs, weights * (slope + inverse))

    return _descend(loss_and_gradient, theta, n_inner, step, policy.param_dims)


def _frozen(mdp: FiniteMDP, policy: Policy, theta: Array) -> tuple[Array, Array, Array]:
    """pi [..., S, A], d [..., S, 1] and A [..., S, A] at theta."""
    if not policy.divergence.full_support:
        raise ValueError(f"policy: its divergence {policy.divergence} is sparse, so KL divergences may be infinite")
    probs = policy.probs(theta)
    chain = mdp.chain(probs)
    return probs, mdp.visits(chain)[..., None], mdp.values(chain, probs)[2]


def _descend(
    loss_and_gradient: LossAndGradient, theta: Array, n_inner: int, step: ArrayLike | Armijo, dims: int
) -> Array:
    for _ in range(n_inner):
        _, gradient = loss_and_gradient(theta)
        if isinstance(step, Armijo):
            theta, _ = step.descend(lambda x: loss_and_gradient(x)[0], theta, gradient, dims)
        else:
            theta = theta - per_run(step, dims) * gradient
    return theta
