"""The loops of `sampling` in Numba: a few environments, where a call of NumPy costs more than its arithmetic."""

from __future__ import annotations

import numpy as np

from ...geometry.kernels import log_softargmax_rows
from ...jit import compiled


@compiled("contract")
def location_scale(parameters, noise, low, high, actions, executed):
    """actions = location + scale * noise [N, D], executed: within the bounds; parameters [N, 2 D]."""
    size = len(low)
    for n in range(len(parameters)):
        for d in range(size):
            action = parameters[n, d] + np.exp(parameters[n, size + d]) * noise[n, d]
            actions[n, d] = action
            executed[n, d] = min(max(action, low[d]), high[d])


@compiled("contract")
def draw(weights, noise, index):
    """The first action at which the cumulated weights [M, A] exceed noise [M] of their sum, never one of weight 0."""
    for m in range(len(weights)):
        total = 0.0
        for a in range(weights.shape[1]):
            total += weights[m, a]
        rest, chosen = noise[m] * total, 0
        for a in range(weights.shape[1]):
            if weights[m, a] > 0.0:
                chosen = a
                rest -= weights[m, a]
                if rest < 0.0:
                    break
        index[m] = chosen


@compiled("contract")
def softmax_weights(scores, temperature, weights):
    """exp((z - max z) / temperature) of scores [M, A]."""
    for m in range(len(scores)):
        best = scores[m, 0]  # NumPy's max would be a second of compiling
        for a in range(1, scores.shape[1]):
            best = max(best, scores[m, a])
        for a in range(scores.shape[1]):
            weights[m, a] = np.exp((scores[m, a] - best) / temperature)


@compiled("contract")
def dense_weights(scores, alpha, scale, weights):
    """Probabilities of the Tsallis softargmax (alpha < 1) of scores [M, A]."""
    log_softargmax_rows(scores, alpha, scale, weights)
    for m in range(len(scores)):
        for a in range(scores.shape[1]):
            weights[m, a] = np.exp(weights[m, a])
