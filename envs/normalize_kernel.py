"""One step of VecNormalize as one compiled call. Imports Numba (`pip install 'mirrorzoo[fast]'`): load on use.

The arithmetic and its order are those of SB3's RunningMeanStd and of NumPy, sums over environments apart (NumPy adds
eight or more numbers pairwise).
"""

from __future__ import annotations

import math

import numpy as np

from .compiled import compiled


@compiled
def normalize_step(
    observations: np.ndarray,  # [N, D] floats
    rewards: np.ndarray,  # [N]
    obs_moments: tuple[np.ndarray, np.ndarray, float],  # mean [D], var [D], count
    ret_moments: tuple[float, float, float],
    returns: np.ndarray,  # [N] discounted returns, advanced in place
    new_moments: np.ndarray,  # [2, D] written: mean and var of the observations
    out_observations: np.ndarray,  # [N, D] float32, written
    out_rewards: np.ndarray,  # [N] float32, written
    settings: tuple[float, float, float, float],  # gamma, epsilon, clip_obs, clip_reward
    switches: tuple[bool, bool],  # training, norm_reward
) -> tuple[bool, float, float]:
    """(True, new mean and variance of the discounted returns).

    (False, ...), and nothing is changed, if a number is not finite or the moments are not [D].
    """
    gamma, epsilon, clip_obs, clip_reward = settings
    training, norm_reward = switches
    n, size = observations.shape
    ret_mean, ret_var, ret_count = ret_moments
    if not obs_moments[0].shape[0] == size == obs_moments[1].shape[0]:
        return False, ret_mean, ret_var
    for i in range(n):
        for j in range(size):
            if not math.isfinite(observations[i, j]):
                return False, ret_mean, ret_var
        if not math.isfinite(rewards[i]):
            return False, ret_mean, ret_var
    if training:
        total = 0.0
        for i in range(n):
            advanced = returns[i] * gamma + rewards[i]
            if not math.isfinite(advanced):
                return False, ret_mean, ret_var
            total += advanced
        mean = total / n
        squares = 0.0
        for i in range(n):
            returns[i] = returns[i] * gamma + rewards[i]
            squares += (returns[i] - mean) * (returns[i] - mean)
        ret_mean, ret_var = _combine(ret_mean, ret_var, ret_count, mean, squares / n, n)
    _observations(observations, obs_moments, new_moments, out_observations, epsilon, clip_obs, training)
    scale = math.sqrt(ret_var + epsilon)
    for i in range(n):
        out_rewards[i] = min(max(rewards[i] / scale, -clip_reward), clip_reward) if norm_reward else rewards[i]
    return True, ret_mean, ret_var


@compiled
def _observations(
    observations: np.ndarray,
    moments: tuple[np.ndarray, np.ndarray, float],
    new_moments: np.ndarray,
    out: np.ndarray,
    epsilon: float,
    clip: float,
    training: bool,
) -> None:
    mean, var, count = moments
    n, size = observations.shape
    new_mean, new_var = new_moments
    kind = observations.dtype.type
    for j in range(size):
        new_mean[j], new_var[j] = mean[j], var[j]
        if training:
            total = kind(0)  # NumPy sums in the type of the observations
            for i in range(n):
                total += observations[i, j]
            batch_mean = kind(total / kind(n))
            squares = kind(0)
            for i in range(n):
                deviation = observations[i, j] - batch_mean
                squares += deviation * deviation
            new_mean[j], new_var[j] = _combine(mean[j], var[j], count, batch_mean, kind(squares / kind(n)), n)
        scale = math.sqrt(new_var[j] + epsilon)
        for i in range(n):
            out[i, j] = min(max((observations[i, j] - new_mean[j]) / scale, -clip), clip)


@compiled
def _combine(mean: float, var: float, count: float, batch_mean: float, batch_var: float, n: int) -> tuple[float, float]:
    """Moments of a sample of `count` and a batch of n together (Chan et al. 1983), as RunningMeanStd computes them."""
    delta = batch_mean - mean
    both = count + n
    squares = var * count + batch_var * n + delta * delta * count * n / both
    return mean + delta * n / both, squares / both
