"""Generalised advantage estimation, with termination and truncation kept apart."""

from __future__ import annotations

import numpy as np
from torch import Tensor

Array = np.ndarray


def generalized_advantages(
    rewards: Array, values: Array, next_values: Array, terminated: Array, ended: Array, gamma: float, gae_lambda: float
) -> Array:
    """GAE(lambda), all arrays [T, N]:

        delta_t = r_t + gamma (1 - terminated_t) V(s'_t) - V(s_t)
        A_t     = delta_t + gamma lambda (1 - ended_t) A_{t+1}

    `next_values[t]` is V of the true next observation: after a truncation that of the last observation of the episode,
    not of the reset. `ended` is terminated or truncated. The value targets are A + V. (Schulman et al. 2016, Eq. 16.)
    """
    deltas = rewards + gamma * np.where(terminated, 0.0, next_values) - values
    decay = gamma * gae_lambda * ~ended
    columns = zip(deltas.T.tolist(), decay.T.tolist(), strict=True)
    return np.ascontiguousarray(np.array([_discounted_sums(*column) for column in columns], np.float32).T)


def _discounted_sums(deltas: list[float], decay: list[float]) -> list[float]:
    """x_t = delta_t + decay_t x_{t+1}, in plain floats: a call of NumPy on each short row would cost far more."""
    running, sums = 0.0, []
    for delta, keep in zip(reversed(deltas), reversed(decay), strict=True):
        running = delta + keep * running
        sums.append(running)
    return sums[::-1]


def normalized(advantages: Tensor, probs: Tensor | None = None) -> Tensor:
    """Advantages of unit scale: sampled ones [B] standardised, dense ones [B, A] divided by their root mean square.

    The mean of the squares is under the policy `probs` [B, A]; there is nothing to centre, since sum_a pi A = 0.
    """
    if probs is not None:
        return advantages / ((probs * advantages.square()).sum(-1).mean().sqrt() + 1e-8)
    if len(advantages) < 2:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def dense_advantages(action_values: Tensor, probs: Tensor) -> Tensor:
    """A(s, .) = Q(s, .) - sum_a pi(a|s) Q(s, a), [B, A]."""
    return action_values - (probs * action_values).sum(-1, keepdim=True)
