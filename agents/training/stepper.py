"""How one step of any VecEnv is taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

Observations = np.ndarray | dict[str, np.ndarray]


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
