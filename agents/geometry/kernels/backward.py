"""The vector-Jacobian product of log π: what `softargmax._dense_vjp` computes, in float32 and in one go."""

from __future__ import annotations

import math

import numpy as np

from .elementary import LANES, ZERO, Array, Real, exp, gather, inline, loop, scatter
from .forward import LONG


@loop
def log_softargmax_vjp_rows(log_probs: Array, grad: Array, alpha: float, scale: float, out: Array) -> None:
    """d (Σ grad log π) / d logits [B, A] from log π and grad [B, A], float32."""
    rows, count = grad.shape
    if count >= LONG:
        room = np.empty(count, np.float32)
        for row in range(rows):
            _pull_row(log_probs[row], grad[row], alpha, scale, room, out[row])
        return
    block, room = np.zeros((2, count, LANES), np.float32), np.empty((2, LANES), np.float32)
    for start in range(0, rows, LANES):
        gather(log_probs[start : start + LANES], block[0])
        gather(grad[start : start + LANES], block[1])
        _pull(block[0], block[1], alpha, scale, room[0], room[1])
        scatter(block[1], out[start : start + LANES])


@loop
def log_softargmax_vjp_row(log_probs: Array, grad: Array, alpha: float, scale: float, out: Array) -> None:
    """`log_softargmax_vjp_rows` for one row [A]."""
    _pull_row(log_probs, grad, alpha, scale, np.empty(len(grad), np.float32), out)


@loop
def _pull(weights: Array, grad: Array, alpha: float, scale: float, pulled: Array, total: Array) -> None:
    """grad [A, LANES] to the product in place; `weights` comes as log π, the last two are room to work in."""
    power, rate = _powers(len(grad), alpha, scale)
    total[:] = ZERO
    for a in range(len(grad)):
        for j in range(LANES):
            r, weights[a, j] = _sensitivity(weights[a, j], power)
            grad[a, j] *= r * rate
            total[j] += weights[a, j]
    for _ in range(2):  # again: the entry that dominates the weights has lost its digits
        pulled[:] = ZERO
        for a in range(len(grad)):
            for j in range(LANES):
                pulled[j] += grad[a, j]
        for j in range(LANES):
            pulled[j] /= total[j]
        for a in range(len(grad)):
            for j in range(LANES):
                grad[a, j] -= pulled[j] * weights[a, j]


@loop
def _pull_row(log_probs: Array, grad: Array, alpha: float, scale: float, weights: Array, out: Array) -> None:
    """`_pull` for one row [A], with sums in float64."""
    power, rate = _powers(len(grad), alpha, scale)
    total = 0.0
    for a in range(len(grad)):
        r, weights[a] = _sensitivity(log_probs[a], power)
        out[a] = grad[a] * (r * rate)
        total += np.float64(weights[a])
    for _ in range(2):
        pulled = 0.0
        for a in range(len(grad)):
            pulled += np.float64(out[a])
        share = np.float32(pulled / total)
        for a in range(len(grad)):
            out[a] -= share * weights[a]


@inline
def _sensitivity(log_prob: Real, power: Real) -> tuple[Real, Real]:
    """π^(1 - alpha), which is proportional to 1 / (u f''(u)), and its product with π."""
    r = exp(power * log_prob, ZERO)
    return r, exp(log_prob, ZERO) * r


@inline
def _powers(count: int, alpha: float, scale: float) -> tuple[Real, Real]:
    """1 - alpha, and the factor that `_sensitivity` leaves out."""
    return np.float32(1.0 - alpha), np.float32(math.exp((1.0 - alpha) * math.log(count)) / scale)
