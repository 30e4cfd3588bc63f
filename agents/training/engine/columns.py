"""A rollout as the fused engine reads it: one array per column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..rollouts import RolloutBuffer


class Columns(NamedTuple):
    """R = T x N transitions, C-contiguous, in the order of time; the fields are those of `Minibatch`."""

    observations: np.ndarray  # [R, D] float32
    actions: np.ndarray  # [R] or [R, K] int64, or [R, D] float32
    behaviour: np.ndarray  # [R, P] float32
    masks: np.ndarray | None  # [R, M] bool
    old_values: np.ndarray  # [R] float32
    advantages: np.ndarray  # [R]
    returns: np.ndarray  # [R]
    reference: np.ndarray | None = None  # [R, P]


def columns_of(buffer: RolloutBuffer) -> Columns:
    """The columns of a rollout of vector observations: views of its arrays, row t N + n."""
    assert isinstance(buffer.observations, np.ndarray)
    observations = _flat(buffer.observations)
    return Columns(
        observations.reshape(len(observations), -1).astype(np.float32, copy=False),
        _flat(buffer.actions),
        _flat(buffer.behaviour),
        None if buffer.masks is None else _flat(buffer.masks),
        _flat(buffer.values),
        _flat(buffer.policy_advantages),
        _flat(buffer.returns),
        None if buffer.reference is None else _flat(buffer.reference),
    )


def _flat(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value).reshape(-1, *value.shape[2:])
