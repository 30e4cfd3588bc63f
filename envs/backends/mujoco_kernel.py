"""What the runners of mujoco_tasks compute after a step, as one compiled call. Imports Numba: load on use."""

from __future__ import annotations

import numpy as np

from ..compiled import compiled


@compiled
def runner_step(
    states: np.ndarray,  # [N, S] positions, then velocities
    before: np.ndarray,  # [N, P] places before the step
    actions: np.ndarray,  # [N, A] floats, A < 8, from where on NumPy would sum pairwise
    observations: np.ndarray,  # [N, D] written: the last D of a state
    rewards: np.ndarray,  # [N] float32, written
    terminated: np.ndarray,  # [N] written
    returns: np.ndarray,  # [N] float64, the rewards are added
    weights: tuple[float, float, float, float],  # dt, forward, control, survival
    switches: tuple[bool, bool, bool],  # standing pays and velocities are clipped; falling ends; all has a range
    ranges: tuple[tuple[float, float], tuple[float, float], tuple[float, float]],  # height, angle, angle and the rest
    n_positions: int,
) -> None:
    """Observations, rewards and terminations from the states after a step, to the bit as the NumPy operations."""
    dt, forward_weight, control_weight, survival_weight = weights
    survives, terminates, checks_all = switches
    (min_z, max_z), (min_angle, max_angle), (lowest, highest) = ranges
    n, size = states.shape
    hidden = size - observations.shape[1]
    kind = actions.dtype.type
    for i in range(n):
        control = actions[i, 0] * actions[i, 0]
        for j in range(1, actions.shape[1]):
            control += actions[i, j] * actions[i, j]
        control *= kind(control_weight)
        reward = forward_weight * ((states[i, 0] - before[i, 0]) / dt)
        if survives:
            healthy = min_z < states[i, 1] < max_z and min_angle < states[i, 2] < max_angle
            for j in range(2, size if checks_all else 2):
                healthy = healthy and lowest < states[i, j] < highest
            reward += survival_weight if healthy else 0.0
            terminated[i] = terminates and not healthy
        reward -= control
        rewards[i] = reward
        returns[i] += reward
        for j in range(hidden, size):
            value = states[i, j]
            if survives and j >= n_positions:  # a NaN stays one
                value = -10.0 if value < -10.0 else 10.0 if value > 10.0 else value
            observations[i, j - hidden] = value
