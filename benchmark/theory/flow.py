"""Trajectories of Lin-SPG's gradient flow by their length: where a start leads to, however long it stands on a plateau.

d theta / ds = grad / |grad| has the trajectories of the gradient flow in another time. On a plateau, where the flow and
gradient ascent crawl, it moves on at the same pace. The softmax's curvature is in proportion to its gradient, so steps
that change the logits by little follow it closely.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.tabular import TabularPolicy
from agents.tabular.checks import Array

from .cells import kept

SOFTMAX = TabularPolicy()


def direction(X: Array, r: Array, theta: Array) -> Array:
    """grad / |grad| of <pi, r> at theta [R, d], pi = softmax(X theta), right however small the gradient is.

    grad = sum_{i < j} pi(i) pi(j) (r(i) - r(j)) (x_i - x_j), by logarithms relative to the largest product.
    """
    log_pi = SOFTMAX.log_probs(theta @ X.T)
    top = np.partition(log_pi, -2)[:, -2:].sum(-1)
    products = log_pi[:, :, None] + log_pi[:, None, :] - top[:, None, None]
    weights = np.exp(np.minimum(products, 0.0)) * (r[:, None] - r)  # only i = j exceeds 0, and has no regret
    g = weights.sum(-1) @ X
    norms = np.linalg.norm(g, axis=-1, keepdims=True)
    return np.divide(g, norms, out=np.zeros_like(g), where=norms > 0.0)


@kept
def follow(X: Array, r: Array, theta: Array, n_steps: int, step: float, goal: float = 0.99) -> Array:
    """pi [R, K] of the starts theta [R, d] after trajectories of `n_steps` steps.

    A step changes no difference of two logits by more than `step`. Where the direction turns by more than 18 degrees
    it is halved, down to a hundredth; it grows again where the path is straight. Runs stop where the best arm's
    probability is `goal`.
    """
    best, theta = r.argmax(), theta.copy()
    longest = step / np.linalg.norm(X[:, None] - X, axis=-1).max()
    steps, last = np.full((len(theta), 1), longest), np.zeros_like(theta)
    runs = np.arange(len(theta))
    for _ in range(n_steps):
        ahead = direction(X, r, theta[runs])
        along = (ahead * last[runs]).sum(-1, keepdims=True)
        change = np.where(along < 0.95, 0.5, np.where(along > 0.99, 1.2, 1.0))
        steps[runs] = np.clip(steps[runs] * change, 0.01 * longest, longest)
        last[runs] = ahead
        theta[runs] += steps[runs] * ahead
        runs = runs[SOFTMAX.probs(theta[runs] @ X.T)[:, best] < goal]
        if not len(runs):
            break
    return SOFTMAX.probs(theta @ X.T)


def wide_starts(n_features: int, radii: Sequence[float], n_directions: int, seed: int) -> Array:
    """theta = 0 and the same `n_directions` random directions at each radius, [1 + R N, d]."""
    directions = np.random.default_rng(seed).standard_normal((n_directions, n_features))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.concatenate([np.zeros((1, n_features)), *(radius * directions for radius in radii)])
