"""A rollout: where the transitions of one update are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from .devices import zeros_for
from .frames import FrameColumn, FrameStacks, Interleave
from .stepper import Observations, Transition

TensorObservations = Tensor | dict[str, Tensor]
Kept = np.ndarray | FrameStacks
Column = Tensor | FrameColumn | Mapping[str, Tensor | FrameColumn]


class Minibatch(NamedTuple):
    """B transitions of a rollout, as tensors."""

    observations: TensorObservations  # [B, ...]
    actions: Tensor  # [B] or [B, K], dtype of the action space
    behaviour: Tensor  # [B, P] parameters of the distribution that chose them
    masks: Tensor | None  # [B, M] True where an action was valid; None: all were
    old_values: Tensor  # [B]
    advantages: Tensor  # [B], or dense [B, A]
    returns: Tensor  # [B]
    reference: Tensor | None = None  # [B, P] parameters of a regulariser's reference policy; None: uniform


class RolloutBuffer:
    """T steps of N environments: arrays [T, N, ...], filled step by step, read in shuffled minibatches.

    It keeps the *parameters of the behaviour distribution* [T, N, P], from which the old policy is rebuilt exactly.
    """

    def __init__(
        self,
        n_steps: int,
        n_envs: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        param_size: int,
        device: torch.device,
        mask_size: int | None = None,
    ) -> None:
        self.buffer_size, self.n_envs, self.device = n_steps, n_envs, device
        shape = (n_steps, n_envs)
        self.observations: Kept | dict[str, Kept]
        if isinstance(observation_space, spaces.Dict):
            self.observations = {key: _room(shape, space, device) for key, space in observation_space.items()}
        else:
            self.observations = _room(shape, observation_space, device)
        if isinstance(action_space, spaces.Box):
            self.actions = np.zeros((*shape, int(np.prod(action_space.shape))), np.float32)
        else:
            self.actions = np.zeros((*shape, *(action_space.shape or ())), np.int64)
        self.behaviour = np.zeros((*shape, param_size), np.float32)
        self.masks: np.ndarray | None = None
        self.make_masks(mask_size)
        self.rewards, self.values, self.next_values = (np.zeros(shape, np.float32) for _ in range(3))
        self.terminated, self.truncated = (np.zeros(shape, bool) for _ in range(2))
        self.advantages, self.returns = (np.zeros(shape, np.float32) for _ in range(2))
        self.interleave: Interleave | None = None  # compiled code that puts frames together
        self.policy_advantages: np.ndarray = self.advantages  # what the policy learns from: [T, N], or dense [T, N, A]
        self.reference: np.ndarray | None = None  # [T, N, P] of a regulariser's reference policy
        self._by_env = np.arange(n_steps * n_envs).reshape(n_steps, n_envs).T.ravel()
        self.reset()

    def make_masks(self, size: int | None) -> None:
        """Room for masks [T, N, size], or none; what is there already stays."""
        if size is None:
            self.masks = None
        elif self.masks is None or self.masks.shape[-1] != size:
            self.masks = np.ones((self.buffer_size, self.n_envs, size), bool)

    @property
    def full(self) -> bool:
        """Whether all n_steps are there."""
        return self.pos == self.buffer_size

    def reset(self) -> None:
        """Start over; the arrays are reused."""
        self.pos = 0
        self._columns: list[Column | None] | None = None

    def observe(self, observations: Observations) -> Observations:
        """Store the next observations [N, ...]; the policy is to act on the returned view, in order for its network."""
        if isinstance(self.observations, dict):
            return {key: _put(kept, self.pos, observations[key]) for key, kept in self.observations.items()}
        return _put(self.observations, self.pos, observations)  # type: ignore[arg-type]

    def record(self, behaviour: np.ndarray, step: Transition) -> None:
        """Store with what parameters the policy answered [N, P], and what came of it.

        Actions, masks and values have rows of their own at `pos`, to be written beforehand or once the rollout is full.
        """
        t = self.pos
        self.behaviour[t] = behaviour
        self.rewards[t], self.terminated[t], self.truncated[t] = step.rewards, step.terminated, step.truncated
        self.pos += 1

    def get(self, batch_size: int | None = None, shuffle: bool = True) -> Iterator[Minibatch]:
        """Minibatches of all T x N transitions, in a random permutation or, without shuffling, in the order of time.

        The permutation is of numpy's global generator, over transitions counted environment by environment: with the
        same generator minibatches are SB3's. `by_time` puts results of the order of time back into [T, N].
        """
        order = self.permutation() if shuffle else np.arange(self.buffer_size * self.n_envs)
        columns = self._columns or self._flattened()
        for rows in torch.as_tensor(order, device=self.device).split(batch_size or len(order)):
            yield Minibatch(*(take(column, rows) for column in columns))

    def permutation(self) -> np.ndarray:
        """A random order of all transitions as rows t N + n, [T N]: SB3's permutation of n T + t."""
        return self._by_env[np.random.permutation(len(self._by_env))]

    def seal(self) -> None:
        """Bring everything to the device once for all passes of an update."""
        self._columns = self._flattened()

    def _flattened(self) -> list[Column | None]:
        """The fields of `Minibatch` for all transitions, [T N, ...]; views where the device is the CPU."""
        inputs = self.observations, self.actions, self.behaviour, self.masks
        targets = self.values, self.policy_advantages, self.returns, self.reference
        return [None if array is None else self._flat(array) for array in (*inputs, *targets)]

    def by_time(self, parts: list[Tensor]) -> np.ndarray:
        """Results of `get(shuffle=False)`, one tensor per minibatch, as one array [T, N, ...]."""
        flat = torch.cat(parts).cpu().numpy()
        return flat.reshape(self.buffer_size, self.n_envs, *flat.shape[1:])

    def _flat(self, value: Kept | dict[str, Kept]) -> Column:
        if isinstance(value, dict):
            return {key: self._flat(kept) for key, kept in value.items()}  # type: ignore[misc]
        if isinstance(value, FrameStacks):
            return value.column(self.interleave)
        return torch.as_tensor(value.reshape(-1, *value.shape[2:])).to(self.device, non_blocking=True)


def _room(shape: tuple[int, int], space: spaces.Space, device: torch.device) -> Kept:
    """Zeros [T, N, ...]; float64 as float32, which networks see; pinned for a GPU to copy. Frames for images."""
    assert space.shape is not None
    large = len(space.shape) == 3 and math.prod(space.shape[1:]) >= 1024  # an index to smaller frames would not pay
    if isinstance(space, spaces.Box) and space.dtype == np.uint8 and large:
        return FrameStacks(*shape, space, device)
    return zeros_for(device, (*shape, *space.shape), np.float32 if space.dtype == np.float64 else space.dtype)


def _put(kept: Kept, step: int, observations: np.ndarray) -> np.ndarray:
    if isinstance(kept, FrameStacks):
        return kept.put(step, observations)
    kept[step] = observations
    return kept[step]


def take(column: Column | None, rows: Tensor) -> Any:
    """Rows of one column of a minibatch."""
    if column is None:
        return None
    if isinstance(column, Mapping):
        return {key: take(value, rows) for key, value in column.items()}
    return column.take(rows) if isinstance(column, FrameColumn) else column.index_select(0, rows)
