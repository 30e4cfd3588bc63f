"""N Gymnasium environments stepped one after the other in this process, straight into arrays."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from ..state import StatefulEnvs
from .arrays import NO_EPISODES, ArrayStepping, StepArrays, copy_rows, empty_rows, episode_arrays, set_row


class InProcessVecEnv(ArrayStepping, StatefulEnvs, DummyVecEnv):
    """SB3's DummyVecEnv with a lean step: no dictionary is built and nothing is copied twice.

    Raises:
        ValueError: the observations are a Tuple, which neither SB3's policies nor these arrays can hold.
    """

    def __init__(self, env_fns: list[Callable[[], gymnasium.Env]]) -> None:
        super().__init__(env_fns)
        if isinstance(self.observation_space, spaces.Tuple):
            raise ValueError(f"observation space {self.observation_space}: Tuple observations are not supported")
        self._infos: list[dict[str, Any]] = [{} for _ in self.envs]

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`."""
        n, infos = self.num_envs, self._infos
        observations = empty_rows(self.observation_space, n)
        by_key = isinstance(observations, dict)
        rewards = np.empty(n, np.float32)
        terminated, truncated = np.zeros(n, bool), np.zeros(n, bool)
        ended: list[tuple[int, Any]] = []
        for row, env in enumerate(self.envs):
            observation, rewards[row], has_terminated, is_truncated, infos[row] = env.step(actions[row])
            if has_terminated or is_truncated:
                terminated[row], truncated[row] = has_terminated, not has_terminated
                ended.append((row, deepcopy(observation)))  # the environment may write its next one over it
                observation, self.reset_infos[row] = env.reset()
            if by_key:
                set_row(observations, row, observation)
            else:
                observations[row] = observation  # type: ignore[index]
        if not ended:
            return StepArrays(observations, rewards, terminated, truncated, observations, *NO_EPISODES)
        final = copy_rows(observations)
        for row, last in ended:
            set_row(final, row, last)
        episodes = episode_arrays((row, infos[row]) for row, _ in ended)
        return StepArrays(observations, rewards, terminated, truncated, final, *episodes)

    def _last_infos(self) -> list[dict[str, Any]]:
        return [dict(info) for info in self._infos]
