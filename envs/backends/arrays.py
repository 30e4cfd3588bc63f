"""The array step: one step of N environments with same-step resets, as arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

Observations = np.ndarray | dict[str, np.ndarray]


class StepArrays(NamedTuple):
    """What N environments did in one step. The arrays belong to the caller: no later step writes to them.

    An environment whose episode ended is reset in the same step: `observations` holds the first observation of its next
    episode and `final_observations` the true last one. At most one of `terminated` and `truncated` is set: an episode
    that terminates on its very last allowed step has terminated, so a bootstrap belongs exactly where `truncated` is.
    """

    observations: Observations  # [N, ...] to act on next
    rewards: np.ndarray  # [N] float32, with the noise and clipping that training sees
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool
    final_observations: Observations  # [N, ...] meaningful where an episode ended; `observations` itself if none did
    episode_returns: np.ndarray  # [K] float64 clean returns of the recorded episodes that ended, in env order
    episode_lengths: np.ndarray  # [K] int64
    episode_rows: np.ndarray  # [K] int64, the environments of these episodes (a lost life ends none)


NO_EPISODES = np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)  # returns, lengths and rows of none


class ArrayStepping:
    """SB3's `step` on top of `step_arrays`; mixed into a VecEnv in front of its own stepping."""

    actions: np.ndarray

    @abstractmethod
    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments, as arrays."""

    @abstractmethod
    def _last_infos(self) -> list[dict[str, Any]]:
        """New info dictionaries of the last `step_arrays`, with `episode` where one was recorded."""

    def step_infos(self, step: StepArrays) -> list[dict[str, Any]]:
        """SB3's infos [N] of the step just taken, with `terminal_observation` and `TimeLimit.truncated`."""
        return completed(self._last_infos(), step)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self.actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """SB3's (observations, rewards, dones, infos)."""
        step = self.step_arrays(self.actions)
        return step.observations, step.rewards, step.terminated | step.truncated, self.step_infos(step)


class KeepsInfos:
    """The array step where there is SB3's `step` alone."""

    _infos: list[dict[str, Any]]  # of the last step

    def _step_by_infos(self, venv: VecEnv, actions: np.ndarray) -> StepArrays:
        observations, rewards, dones, self._infos = venv.step(actions)
        return arrays_from_infos(observations, rewards, dones, self._infos)

    def step_infos(self, step: StepArrays) -> list[dict[str, Any]]:
        """SB3's infos [N] of the step just taken, with the last observations of `step`."""
        return completed(self._infos, step)


@cache
def steps_by_arrays(kind: type[VecEnv]) -> bool:
    """Whether a class of VecEnvs has `step_arrays` and `step_infos`; not if a subclass changes SB3's way to step alone.

    Asked of the class: SB3's wrappers pass attribute look-ups through to the environment inside them.
    """
    ways = {"step_arrays", "step_async", "step_wait", "step"}
    stepping = next(cls for cls in kind.__mro__ if ways & vars(cls).keys())
    return "step_arrays" in vars(stepping) and hasattr(kind, "step_infos")


def completed(infos: list[dict[str, Any]], step: StepArrays) -> list[dict[str, Any]]:
    """Infos with what SB3 adds to them: where an episode was truncated, and its true last observation."""
    for info, truncated in zip(infos, step.truncated.tolist(), strict=True):
        info["TimeLimit.truncated"] = truncated
    for row in np.flatnonzero(step.terminated | step.truncated).tolist():
        infos[row]["terminal_observation"] = row_of(step.final_observations, row)
    return infos


def arrays_from_infos(observations: Any, rewards: np.ndarray, dones: np.ndarray, infos: Any) -> StepArrays:
    """The arrays behind what SB3's `step` returned."""
    truncated = np.zeros(len(dones), bool)
    final, episodes = observations, NO_EPISODES
    if dones.any():
        final = copy_rows(observations)
        for row in np.flatnonzero(dones).tolist():
            truncated[row] = infos[row]["TimeLimit.truncated"]
            set_row(final, row, infos[row]["terminal_observation"])
        episodes = episode_arrays((row, infos[row]) for row in np.flatnonzero(dones).tolist())
    rewards = rewards.astype(np.float32, copy=False)
    return StepArrays(observations, rewards, dones & ~truncated, truncated, final, *episodes)


def episode_arrays(infos: Iterable[tuple[int, dict[str, Any]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns, lengths and rows [K] of the episodes that these (row, info) record."""
    records = [(info["episode"]["r"], info["episode"]["l"], row) for row, info in infos if "episode" in info]
    returns, lengths, rows = zip(*records, strict=True) if records else ((), (), ())
    return np.array(returns, np.float64), np.array(lengths, np.int64), np.array(rows, np.int64)


def empty_rows(space: spaces.Space, n: int) -> Observations:
    """Room for n observations of a space."""
    if isinstance(space, spaces.Dict):
        return {key: np.empty((n, *part.shape), part.dtype) for key, part in space.items()}  # type: ignore[misc]
    return np.empty((n, *space.shape), space.dtype)  # type: ignore[misc]


def copy_rows(observations: Observations) -> Observations:
    """A copy of a batch of observations."""
    if isinstance(observations, dict):
        return {key: array.copy() for key, array in observations.items()}
    return observations.copy()


def row_of(observations: Observations, row: int) -> Any:
    """A copy of one observation of a batch."""
    if isinstance(observations, dict):
        return {key: array[row].copy() for key, array in observations.items()}
    return observations[row].copy()


def set_row(observations: Observations, row: int, value: Any) -> None:
    """Write one observation into a batch."""
    if isinstance(observations, dict):
        for key, array in observations.items():
            array[row] = value[key]
    else:
        observations[row] = value
