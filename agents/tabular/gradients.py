"""Exact policy gradients: any policy, any f-divergence regulariser, on a finite MDP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..geometry import KL, Divergence
from .checks import Array
from .mdp import FiniteMDP
from .operators import divergence_of, f_prime_of
from .policies import Policy, TabularPolicy


@dataclass(frozen=True, eq=False)
class Regularizer:
    """coef D_f(pi(s) || reference), subtracted from the reward of each state; coef is a number or one per run [...]."""

    divergence: Divergence
    coef: ArrayLike
    reference: Array | None = None

    def penalty(self, probs: Array) -> Array:
        """coef D_f(pi(s) || reference), [..., S]."""
        return per_run(self.coef, 1) * divergence_of(probs, self.divergence, self.reference)

    def slope(self, policy: Policy, theta: Array, probs: Array) -> Array:
        """The derivative of the penalty in pi, coef f'(pi / q) [..., S, A], up to a constant per state.

        For the policy's own generator and reference that is coef z, without a detour over pi: f'(pi / q) = z - mu.
        """
        coupled = policy.divergence == self.divergence and _same(policy.reference, self.reference)
        dual = policy.logits(theta) if coupled else f_prime_of(probs, self.divergence, self.reference)
        return per_run(self.coef, 2) * dual


def per_run(value: ArrayLike, dims: int) -> Array:
    """A number, or one per run [...], shaped to multiply arrays [..., (dims more)]."""
    value = np.asarray(value, dtype=np.float64)
    return value.reshape(value.shape + (1,) * dims)


def value_and_gradient(
    mdp: FiniteMDP, policy: Policy, theta: Array, regularizer: Regularizer | None = None
) -> tuple[Array, Array]:
    """V(rho) [...] and dV(rho)/dtheta, with V = E sum gamma^t (r - coef D_f(pi(s_t) || reference)).

    dV(rho)/dz(s, .) = d(s) J(s) (Q(s, .) - coef f'(pi / q)) / (1 - gamma), J = d pi / dz; d sums to 1, so the factor
    1 / (1 - gamma) is part of the gradient. (arXiv 2601.12604 and 2512.16565)
    """
    probs = policy.probs(theta)
    chain = mdp.chain(probs)
    penalty = None if regularizer is None else regularizer.penalty(probs)
    V, Q, _ = mdp.values(chain, probs, penalty)
    ascent = Q if regularizer is None else Q - regularizer.slope(policy, theta, probs)
    weights = mdp.visits(chain) / (1.0 - mdp.gamma)
    return V @ mdp.rho, policy.vjp(theta, probs, weights[..., None] * ascent)


def value(mdp: FiniteMDP, policy: Policy, theta: Array, regularizer: Regularizer | None = None) -> Array:
    """V(rho) [...] alone: what a line search asks for."""
    probs = policy.probs(theta)
    penalty = None if regularizer is None else regularizer.penalty(probs)
    return mdp.values(mdp.chain(probs), probs, penalty)[0] @ mdp.rho


def policy_gradient(
    mdp: FiniteMDP,
    theta: Array,
    divergence: Divergence = KL(),  # noqa: B008 - frozen
    coef: ArrayLike = 0.0,
    reference: Array | None = None,
) -> Array:
    """dV_coef(rho)/dtheta [..., S, A] of pi = f-softargmax(theta, reference), penalised by coef D_f of the same f.

    (arXiv 2601.12604, section 4: d(s) J(s) (Q(s, .) - coef theta(s, .)) / (1 - gamma).)
    """
    regularizer = Regularizer(divergence, coef, reference) if np.any(coef) else None
    return value_and_gradient(mdp, TabularPolicy(divergence, reference), theta, regularizer)[1]


def _same(first: Array | None, second: Array | None) -> bool:
    return first is second or (first is not None and second is not None and np.array_equal(first, second))
