"""`LocationScaleSampler` and the softmax of `FactorSampler` as compiled loops over a few environments."""

from __future__ import annotations

import numpy as np

from .numba_jit import jit


@jit
def location_scale(parameters, noise, low, high, actions, executed):
    """actions = location + scale * noise [N, D]; executed: within the bounds. Parameters [N, 2 D]."""
    size = len(low)
    for n in range(len(parameters)):
        for d in range(size):
            action = parameters[n, d] + np.exp(parameters[n, size + d]) * noise[n, d]
            actions[n, d] = action
            executed[n, d] = min(max(action, low[d]), high[d])


@jit
def softmax_factors(scores, inverse_temperature, sizes, binary, noise, index):
    """The first action whose cumulated probability exceeds the uniform number, per factor; scores [N, sum(sizes)].

    `binary`: one score per factor, of action 1, the other's being 0.
    """
    for n in range(len(scores)):
        start = 0
        for k in range(len(sizes)):
            if binary:
                probability = 1.0 / (1.0 + np.exp(-np.float64(scores[n, k]) * inverse_temperature))
                index[n, k] = noise[n, k] >= 1.0 - probability
                continue
            stop = start + sizes[k]
            best = scores[n, start]
            for a in range(start + 1, stop):
                best = max(best, scores[n, a])
            total = 0.0
            for a in range(start, stop):
                total += np.exp((scores[n, a] - best) * inverse_temperature)
            rest, chosen = noise[n, k] * total, 0
            for a in range(start, stop):
                mass = np.exp((scores[n, a] - best) * inverse_temperature)
                if mass > 0.0:
                    chosen = a - start
                rest -= mass
                if rest < 0.0:
                    break
            index[n, k] = chosen
            start = stop
