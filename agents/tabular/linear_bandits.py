"""Lin-SPG: softmax policy gradient on bandits with linear logits, pi = softmax(X theta), X [K, d] (arXiv 2505.03155).

theta is [d], or [..., d] for independent runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..geometry import KL
from .checks import Array
from .gradients import per_run
from .operators import softargmax
from .sampling import sample_rows

SOFTMAX = KL()


def lin_spg_update(X: Array, r: Array, theta: Array, eta: ArrayLike) -> Array:
    """theta + eta X^T (diag pi - pi pi^T) r for mean rewards r [K]: the exact update."""
    probs = softargmax(theta @ X.T, SOFTMAX)
    return theta + per_run(eta, 1) * (_regret_weighted(probs, r) @ X)


def lin_spg_stochastic(
    X: Array, r: Array, theta: Array, eta: ArrayLike, rng: np.random.Generator, reward_noise: float = 0.0
) -> Array:
    """The update from one pull: r replaced by 1[a = a_t] R_t / pi(a_t), R_t = r(a_t) + reward_noise N(0, 1).

    That is theta + eta R_t (x_{a_t} - sum_b pi(b) x_b).
    """
    probs = softargmax(theta @ X.T, SOFTMAX)
    arms = sample_rows(probs, rng)
    rewards = r[arms]
    if reward_noise:
        rewards = rewards + reward_noise * rng.standard_normal(rewards.shape)
    return theta + per_run(eta, 1) * rewards[..., None] * (X[arms] - probs @ X)


def _regret_weighted(probs: Array, r: Array) -> Array:
    """pi (r - <pi, r>) = pi(a) sum_b pi(b) (r(a) - r(b)), [..., K]: the digits of a nearly certain arm are kept."""
    return probs * (probs @ (r - r[:, None]))
