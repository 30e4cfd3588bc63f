"""The baselines of the f-PG paper (arXiv 2601.12604): escort and Hadamard parameterisations, and the log barrier.

Each with the exact gradient of V(rho), or with a `Sampler`'s estimate of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .checks import Array
from .gradients import per_run, value_and_gradient
from .mdp import FiniteMDP
from .policies import SOFTMAX, EscortPolicy, Policy
from .stochastic import Sampler

HADAMARD = EscortPolicy(p=2.0)


def escort(mdp: FiniteMDP, theta: Array, step: ArrayLike, p: float = 2.0, sampler: Sampler | None = None) -> Array:
    """theta + step dV(rho)/dtheta for pi proportional to |theta|^p; theta [..., S, A], started at 1e-3 N(0, 1)."""
    return theta + per_run(step, 2) * _gradient(mdp, EscortPolicy(p=p), theta, sampler)


def hadamard(mdp: FiniteMDP, theta: Array, step: ArrayLike, sampler: Sampler | None = None) -> Array:
    """A Riemannian step on the sphere: pi = theta^2 for rows of unit length, theta [..., S, A].

    On the sphere the gradient of V(theta^2 / |theta|^2) is tangent; the step along it is scaled back to unit length.
    """
    moved = theta + per_run(step, 2) * _gradient(mdp, HADAMARD, theta, sampler)
    return moved / np.linalg.norm(moved, axis=-1, keepdims=True)


def log_barrier(
    mdp: FiniteMDP, theta: Array, coef: ArrayLike, step: ArrayLike, sampler: Sampler | None = None
) -> Array:
    """theta + step grad(V(rho) + coef sum_{s, a} log pi(a|s)), pi = softmax(theta) [..., S, A].

    The barrier counts every state once, however rarely it is visited: its gradient is coef (1 - A pi).
    """
    barrier = per_run(coef, 2) * (1.0 - mdp.n_actions * SOFTMAX.probs(theta))
    return theta + per_run(step, 2) * (_gradient(mdp, SOFTMAX, theta, sampler) + barrier)


def _gradient(mdp: FiniteMDP, policy: Policy, theta: Array, sampler: Sampler | None) -> Array:
    return value_and_gradient(mdp, policy, theta)[1] if sampler is None else sampler.gradient(mdp, policy, theta)
