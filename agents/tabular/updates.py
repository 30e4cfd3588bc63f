"""The update rules of the papers, exact: one update each, theta [..., S, A] -> next theta.

Policies are softmax(theta) unless a divergence is given; leading axes are independent runs, and step sizes may be one
number or one per run [...].
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from ..geometry import Divergence
from .checks import Array
from .gradients import Regularizer, per_run, policy_gradient, value, value_and_gradient
from .mdp import FiniteMDP
from .policies import SOFTMAX, Policy
from .steps import Armijo, StepSizeWarning


def spma(mdp: FiniteMDP, theta: Array, eta: ArrayLike) -> Array:
    """theta + log(1 + eta A): pi (1 + eta A), which is normalised as sum_a pi A = 0 (arXiv 2411.12042, section 3).

    Where 1 + eta A < 0, eta is beyond the admissible range: a StepSizeWarning says so, and the policy is cut at zero
    and renormalised.
    """
    return theta + log_tilt(per_run(eta, 2) * _advantages(mdp, theta))


def spma_capped(mdp: FiniteMDP, theta: Array, eta_max: float = 1.0, margin: float = 0.999) -> Array:
    """SPMA with the largest admissible step, eta = min(eta_max, margin / max(-A))."""
    advantages = _advantages(mdp, theta)
    worst = np.maximum((-advantages).max((-2, -1)), margin / eta_max)
    return theta + np.log1p(per_run(margin / worst, 2) * advantages)


def spma_gap(mdp: FiniteMDP, theta: Array) -> Array:
    """SPMA on bandits with the gap-dependent steps eta_{a,b} = 1 / |r(a) - r(b)|: super-linear.

    pi(a) (1 + sum_b pi(b) sign(r(a) - r(b))), so 1 - pi(a*) is squared by each update (arXiv 2411.12042, section 3).

    Raises:
        ValueError: for gamma > 0, where rewards are not the action values.
    """
    if mdp.gamma != 0.0:
        raise ValueError(f"gamma={mdp.gamma!r}: gap-dependent steps are for bandits, gamma = 0")
    wins = 1.0 + np.sign(mdp.r[:, :, None] - mdp.r[:, None, :])  # 1 + sum pi sign = sum pi (1 + sign): no cancellation
    probs = SOFTMAX.probs(theta)
    return theta + np.log((wins @ probs[..., None])[..., 0])


def npg(mdp: FiniteMDP, theta: Array, eta: ArrayLike) -> Array:
    """Natural policy gradient: theta + eta A, i.e. pi exp(eta A) / Z."""
    return theta + per_run(eta, 2) * _advantages(mdp, theta)


def mdpo(mdp: FiniteMDP, theta: Array, eta: ArrayLike) -> Array:
    """MDPO, argmax_p <p, A> - KL(p || pi) / eta in each state: on a table its maximiser is NPG's (arXiv 2005.09814).

    With m inner gradient steps instead of the maximiser: `linear.mdpo_projected`.
    """
    return npg(mdp, theta, eta)


def spg(mdp: FiniteMDP, theta: Array, step: ArrayLike) -> Array:
    """Softmax policy gradient with a constant step: theta + step dV(rho)/dtheta."""
    return theta + per_run(step, 2) * policy_gradient(mdp, theta)


def spg_theory_step(mdp: FiniteMDP) -> float:
    """(1 - gamma)^3 / (8 r_max): the constant step of the softmax policy gradient's O(1/t) theorem."""
    return (1.0 - mdp.gamma) ** 3 / (8.0 * float(np.abs(mdp.r).max()))


def spg_armijo(mdp: FiniteMDP, theta: Array, search: Armijo) -> tuple[Array, Array]:
    """Softmax policy gradient with Armijo's step on V(rho): (next theta, accepted steps [...])."""
    _, gradient = value_and_gradient(mdp, SOFTMAX, theta)
    return search.descend(lambda x: -value(mdp, SOFTMAX, x), theta, -gradient, 2)


def f_pg(
    mdp: FiniteMDP,
    theta: Array,
    divergence: Divergence,
    coef: ArrayLike,
    step: ArrayLike,
    reference: Array | None = None,
) -> Array:
    """Exact f-PG: theta + step dV_coef(rho)/dtheta, policy and regulariser of the same f (arXiv 2601.12604)."""
    return theta + per_run(step, 2) * policy_gradient(mdp, theta, divergence, coef, reference)


def gradient_ascent(
    mdp: FiniteMDP, policy: Policy, theta: Array, step: ArrayLike, regularizer: Regularizer | None = None
) -> Array:
    """theta + step dV(rho)/dtheta for any policy and any regulariser, coupled or not."""
    return theta + per_run(step, policy.param_dims) * value_and_gradient(mdp, policy, theta, regularizer)[1]


def log_tilt(change: Array) -> Array:
    """log(1 + change) for change = eta A [..., S, A]; below -1 it is -inf, with a StepSizeWarning."""
    lowest = float(change.min())
    if lowest < -1.0:
        message = f"eta: beyond the admissible range, 1 + eta A = {1.0 + lowest:g} < 0; probabilities are cut at zero"
        warnings.warn(message, StepSizeWarning, stacklevel=3)
    with np.errstate(divide="ignore"):
        return np.log1p(np.maximum(change, -1.0))


def _advantages(mdp: FiniteMDP, theta: Array) -> Array:
    probs = SOFTMAX.probs(theta)
    return mdp.values(mdp.chain(probs), probs)[2]
