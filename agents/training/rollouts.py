"""A rollout: where the transitions of one update are kept, and how one step of any VecEnv is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

Observations = np.ndarray | dict[str, np.ndarray]
TensorObservations = Tensor | dict[str, Tensor]


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


class Transition(NamedTuple):
    """One step of N environments with same-step resets: the tuple that `VecEnv.step_arrays` of envs returns, and infos.

    `infos` are there where the step was taken through SB3's interface; see `Stepper.infos`.
    """

    observations: Observations  # [N, ...] the next observations to act on
    rewards: np.ndarray  # [N]
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool
    final_observations: Observations  # [N, ...] the true last observations, meaningful where an episode ended
    episode_returns: np.ndarray  # [K] of the recorded episodes that ended in this step
    episode_lengths: np.ndarray  # [K]
    episode_rows: np.ndarray  # [K] int64, their environments
    infos: list[dict[str, Any]] | None = None

    @property
    def dones(self) -> np.ndarray:
        """[N] bool, where an episode ended."""
        return self.terminated | self.truncated


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
        self.observations: Observations
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
        self._columns: list[TensorObservations | None] | None = None

    def observe(self, observations: Observations) -> Observations:
        """Store the next observations [N, ...]; the policy is to act on the returned view, in order for its network."""
        if isinstance(observations, dict):
            for key, array in observations.items():
                self.observations[key][self.pos] = array
            return {key: array[self.pos] for key, array in self.observations.items()}  # type: ignore[union-attr]
        self.observations[self.pos] = observations  # type: ignore[index]
        return self.observations[self.pos]  # type: ignore[index]

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

    def _flattened(self) -> list[TensorObservations | None]:
        """The fields of `Minibatch` for all transitions, [T N, ...]; views where the device is the CPU."""
        inputs = self.observations, self.actions, self.behaviour, self.masks
        targets = self.values, self.policy_advantages, self.returns, self.reference
        return [None if array is None else self._flat(array) for array in (*inputs, *targets)]

    def by_time(self, parts: list[Tensor]) -> np.ndarray:
        """Results of `get(shuffle=False)`, one tensor per minibatch, as one array [T, N, ...]."""
        flat = torch.cat(parts).cpu().numpy()
        return flat.reshape(self.buffer_size, self.n_envs, *flat.shape[1:])

    def _flat(self, value: Observations) -> TensorObservations:
        if isinstance(value, dict):
            return {key: self._flat(array) for key, array in value.items()}  # type: ignore[misc]
        flat = torch.as_tensor(value.reshape(-1, *value.shape[2:]))
        if self.device.type == "cpu":
            return flat
        there = flat.to(self.device, non_blocking=True)
        return there.contiguous(memory_format=torch.channels_last) if there.dim() == 4 else there


def _room(shape: tuple[int, ...], space: spaces.Space, device: torch.device) -> np.ndarray:
    """Zeros [T, N, ...]; float64 as float32, which networks see; images channels last, but for a GPU, which turns them
    around by itself; pinned for a GPU to copy."""
    assert space.shape is not None
    if len(space.shape) == 3 and space.dtype == np.uint8 and device.type == "cpu":
        channels, *size = space.shape
        zeros = np.moveaxis(np.zeros((*shape, *size, channels), np.uint8), -1, 2)
    else:
        zeros = np.zeros((*shape, *space.shape), np.float32 if space.dtype == np.float64 else space.dtype)
    return torch.from_numpy(zeros).pin_memory().numpy() if device.type == "cuda" else zeros


def take(column: TensorObservations | None, rows: Tensor) -> Any:
    """Rows of one column of a minibatch."""
    if column is None:
        return None
    if isinstance(column, dict):
        return {key: take(value, rows) for key, value in column.items()}
    if column.dim() == 4:  # images keep their channels last, and whole pixels are copied
        return column.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
    return column[rows]


@dataclass(frozen=True)
class Stepper:
    """One step of a VecEnv: by arrays where it offers `step_arrays` and `step_infos`, else through SB3's `step`."""

    env: VecEnv

    @cached_property
    def by_arrays(self) -> bool:
        """Whether the fast path is there."""
        return steps_by_arrays(type(self.env))

    def __call__(self, actions: np.ndarray) -> Transition:
        """The transition, with infos where they came with it."""
        if not self.by_arrays:
            return self._by_infos(actions)
        return Transition(*self.env.step_arrays(actions))  # type: ignore[attr-defined]

    def infos(self, step: Transition, wanted: bool) -> list[dict[str, Any]]:
        """SB3's infos [N] of the step just taken; [] if none were made yet and none are wanted."""
        if step.infos is not None:
            return step.infos
        return self.env.step_infos(step) if wanted else []  # type: ignore[attr-defined]

    def _by_infos(self, actions: np.ndarray) -> Transition:
        observations, rewards, dones, infos = self.env.step(actions)
        truncated = np.array(
            [done and info.get("TimeLimit.truncated", False) for done, info in zip(dones, infos, strict=True)]
        )
        final = observations
        if truncated.any():
            final = _copy(observations)  # type: ignore[arg-type]
            for index in np.flatnonzero(truncated):
                _assign(final, int(index), infos[index]["terminal_observation"])
        rows = [row for row, info in enumerate(infos) if "episode" in info]
        returns, lengths = (np.array([infos[row]["episode"][key] for row in rows]) for key in ("r", "l"))
        episodes = returns, lengths, np.array(rows, np.int64)
        return Transition(observations, rewards, dones & ~truncated, truncated, final, *episodes, infos)  # type: ignore[arg-type]


@cache
def steps_by_arrays(kind: type[VecEnv]) -> bool:
    """Whether a class of VecEnvs steps by arrays; not if a subclass changes SB3's way to step alone.

    Asked of the class, since SB3's wrappers pass attributes of the environment inside them through.
    """
    ways = {"step_arrays", "step_async", "step_wait", "step"}
    stepping = next(cls for cls in kind.__mro__ if ways & vars(cls).keys())
    return "step_arrays" in vars(stepping) and hasattr(kind, "step_infos")


def _copy(observations: Observations) -> Observations:
    if isinstance(observations, dict):
        return {key: array.copy() for key, array in observations.items()}
    return observations.copy()


def _assign(observations: Observations, index: int, value: Any) -> None:
    if isinstance(observations, dict):
        for key, array in observations.items():
            array[index] = value[key]
    else:
        observations[index] = value


def rows_of(observations: Observations, rows: np.ndarray) -> Observations:
    """The chosen rows of a batch of observations."""
    if isinstance(observations, dict):
        return {key: array[rows] for key, array in observations.items()}
    return observations[rows]
