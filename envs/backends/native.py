"""CartPole by Gymnasium's own vector environment: all N carts in one array operation, noise included.

Gymnasium's vector environment resets an ended episode one step late, in a step that ignores the action. Here the ended
rows are reset in the same step, so no such row is ever handed out. All rows share one generator: the seed of
environment 0 seeds all of them, and initial states differ from those of separate environments with the same seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from ..noise import NOISE_ARGUMENTS, NoiseLevels
from ..noise_arrays import ArrayNoise
from ..noisy_cartpole import DEFAULT_REWARD_NOISE
from ..recorder import episode_record, open_monitor_file
from ..single import EnvOptions, brings_own_noise
from .arrays import NO_EPISODES, ArrayStepping, StepArrays

NATIVE_IDS = ("CartPole-v1", "NoisyCartPole-v1")


class NativeVecEnv(ArrayStepping, VecEnv):
    """N CartPoles as one array, with the noise of envs.noise drawn for all of them at once."""

    def __init__(self, options: EnvOptions, n_envs: int) -> None:
        kwargs = dict(options.env_kwargs)
        levels = options.noise
        if brings_own_noise(options.spec):
            own = {name: kwargs.pop(name) for name in NOISE_ARGUMENTS if name in kwargs}
            levels = NoiseLevels.parse(**{"reward_noise": DEFAULT_REWARD_NOISE} | own)
        env = gymnasium.make_vec(
            "CartPole-v1",
            n_envs,
            "vector_entry_point",
            max_episode_steps=options.max_episode_steps or 500,
            render_mode=options.render_mode,
            **kwargs,
        )
        assert isinstance(env, CartPoleVectorEnv)
        self.vector = env
        space = env.single_observation_space
        self.noise = ArrayNoise(levels, n_envs, env.single_action_space)
        super().__init__(n_envs, self.noise.observation_space(space), env.single_action_space)
        self._returns, self._lengths = np.zeros(n_envs), np.zeros(n_envs, np.int64)
        self._records: dict[int, dict[str, Any]] = {}
        self._t_start = time.time()
        folder = options.monitor_dir
        self._writers = (
            [open_monitor_file(Path(folder) / str(i), options.spec.id, self._t_start) for i in range(n_envs)]
            if folder is not None
            else []
        )

    def reset(self) -> np.ndarray:
        """Start N episodes; a pending seed seeds states and noise."""
        seed = self._seeds[0]
        observations, _ = self.vector.reset(seed=seed, options=self._options[0] or None)
        if seed is not None:
            self.noise.reseed(self.vector.np_random.spawn(1)[0])
        self._reset_seeds()
        self._reset_options()
        self.noise.restart()
        self._returns[:], self._lengths[:] = 0.0, 0
        return self.noise.observations(np.ascontiguousarray(observations))

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`."""
        actions = self.noise.executed(np.asarray(actions, np.int64).reshape(self.num_envs))
        states, rewards, terminated, truncated, _ = self.vector.step(actions)
        observations = final = np.ascontiguousarray(states)
        truncated &= ~terminated
        self._returns += rewards
        self._lengths += 1
        episodes = NO_EPISODES
        self._records = {}
        ended = terminated | truncated
        rewards = self.noise.rewards(rewards, ended)
        if ended.any():
            rows = np.flatnonzero(ended)
            episodes = self._returns[rows], self._lengths[rows], rows
            self._record(rows)
            observations = final.copy()
            observations[ended] = self._restart(ended)
            self.noise.restart(ended)
            final = self.noise.observations(final)
        noisy = self.noise.observations(observations)
        return StepArrays(noisy, rewards, terminated, truncated, final if ended.any() else noisy, *episodes)

    def _restart(self, rows: np.ndarray) -> np.ndarray:
        """Draw new initial states [K, 4] for the chosen rows, as the vector environment itself would one step later."""
        env = self.vector
        states = env.np_random.uniform(env.low, env.high, (4, int(rows.sum())))
        env.state[:, rows] = states  # type: ignore[index]
        env.steps[rows] = 0
        env.prev_done[rows] = False
        return states.T.astype(np.float32)

    def _record(self, rows: np.ndarray) -> None:
        for row in rows.tolist():
            record = self._records[row] = episode_record(self._returns[row], self._lengths[row], self._t_start)
            if self._writers:
                self._writers[row].write_row(record)
        self._returns[rows], self._lengths[rows] = 0.0, 0

    def _last_infos(self) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row, record in self._records.items():
            infos[row]["episode"] = record
        return infos

    def close(self) -> None:
        """Close the environment and its monitor files."""
        self.vector.close()
        for writer in self._writers:
            writer.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """An RGB image per environment."""
        return list(self.vector.render() or [])

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the vector environment, which all rows share."""
        return [getattr(self.vector, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set it for all rows. ValueError if only some are meant."""
        self._all_rows(indices)
        setattr(self.vector, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call a method of the vector environment once, for all rows. ValueError if only some are meant."""
        self._all_rows(indices)
        method: Callable[..., Any] = getattr(self.vector, method_name)
        return [method(*args, **kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """True for SB3's Monitor: episodes are recorded, free of noise."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]

    def _all_rows(self, indices: VecEnvIndices) -> None:
        if indices is not None and set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise ValueError(f"indices={indices!r}: native environments are one array, use backend='inprocess'")
