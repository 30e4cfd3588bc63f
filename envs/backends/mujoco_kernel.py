"""What the runners of mujoco_runners do before and after the physics, compiled. Imports Numba: load on use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..compiled import compiled


def _to_pointer(typing_context: Any, address: Any) -> Any:
    pointer = types.CPointer(types.float64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64), generate


_doubles: Any = intrinsic(_to_pointer)  # the address of float64 numbers as a pointer to them


@compiled
def runner_begin(addresses: np.ndarray, actions: np.ndarray, before: np.ndarray) -> None:
    """Write the controls from actions [N, A], and take down the places [N, P] before the step."""
    for i in range(len(actions)):
        positions, controls = _doubles(addresses[i, 0]), _doubles(addresses[i, 2])
        for j in range(before.shape[1]):
            before[i, j] = positions[j]
        for j in range(actions.shape[1]):
            controls[j] = actions[i, j]


@compiled
def runner_end(
    addresses: np.ndarray,  # [N, 3] of the simulators' positions, velocities and controls
    states: np.ndarray,  # [N, S] written: positions, then velocities
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
        positions, velocities = _doubles(addresses[i, 0]), _doubles(addresses[i, 1])
        for j in range(n_positions):
            states[i, j] = positions[j]
        for j in range(n_positions, size):
            states[i, j] = velocities[j - n_positions]
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
