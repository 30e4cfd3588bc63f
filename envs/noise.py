"""Noise on what the agent sees, does and gets, as Gymnasium wrappers that leave the reported returns clean.

Each wrapper draws from its own generator, spawned from the environment's `np_random` when that is seeded. Spawning
takes nothing from the parent's stream, so the same seed gives the same initial states with and without noise.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.core import ActType, ObsType
from gymnasium.utils import RecordConstructorArgs

from . import checks


class _NoiseWrapper(gymnasium.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs):
    """Owns the generator of one kind of noise."""

    rng: np.random.Generator | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Reset; a new seed, and the first reset, start the noise anew."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None or self.rng is None:
            self.rng = self.np_random.spawn(1)[0]
        return observation, info


class RewardNoise(_NoiseWrapper[ObsType, ActType]):
    """r + std * N(0, 1): zero-mean Gaussian reward noise.

    Args:
        env: what to wrap.
        std: the STANDARD DEVIATION of the noise in units of reward (not the variance), finite and >= 0.

    Raises:
        ValueError: std is negative or not finite.
    """

    def __init__(self, env: gymnasium.Env[ObsType, ActType], std: float) -> None:
        RecordConstructorArgs.__init__(self, std=std)
        super().__init__(env)
        self.std = checks.number("reward_noise", std)

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step with noise on the reward; an episode's record inside info stays what it was."""
        assert self.rng is not None
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "episode" in info:
            info = _FirstRecord(info)
        return observation, float(reward) + self.std * self.rng.standard_normal(), terminated, truncated, info


class ObservationNoise(_NoiseWrapper[np.ndarray, ActType]):
    """o + std * N(0, I): independent zero-mean Gaussian noise on every component, resets and last observations too.

    Args:
        env: what to wrap; its observation space is a Box of floats, and becomes unbounded.
        std: the standard deviation of the noise in units of the observation, finite and >= 0.

    Raises:
        ValueError: std is negative or not finite, or the observations are not floats.
    """

    def __init__(self, env: gymnasium.Env[np.ndarray, ActType], std: float) -> None:
        RecordConstructorArgs.__init__(self, std=std)
        super().__init__(env)
        self.std = checks.number("observation_noise", std)
        self.observation_space = noisy_space(env.observation_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset; the first observation is noisy as well."""
        observation, info = super().reset(seed=seed, options=options)
        return self._noisy(observation), info

    def step(self, action: ActType) -> tuple[np.ndarray, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step with noise on the observation."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._noisy(observation), reward, terminated, truncated, info

    def _noisy(self, observation: np.ndarray) -> np.ndarray:
        assert self.rng is not None
        return (observation + self.std * self.rng.standard_normal(observation.shape)).astype(observation.dtype)


class StickyActions(_NoiseWrapper[ObsType, ActType]):
    """With some probability the previous action is executed instead (Machado et al. 2018, section 5.2).

    Args:
        env: what to wrap.
        repeat_probability: in [0, 1); the first action of an episode is always executed.

    Raises:
        ValueError: the probability is outside [0, 1).
    """

    def __init__(self, env: gymnasium.Env[ObsType, ActType], repeat_probability: float) -> None:
        RecordConstructorArgs.__init__(self, repeat_probability=repeat_probability)
        super().__init__(env)
        self.repeat_probability = checks.probability("sticky_actions", repeat_probability)
        self.last_action: ActType | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Reset and forget the last action."""
        self.last_action = None
        return super().reset(seed=seed, options=options)

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step with this action or the one executed before."""
        assert self.rng is not None
        if self.last_action is None or self.rng.random() >= self.repeat_probability:
            self.last_action = action
        return self.env.step(self.last_action)


def add_noise(
    env: gymnasium.Env, reward_noise: float = 0.0, observation_noise: float = 0.0, sticky_actions: float = 0.0
) -> gymnasium.Env:
    """Wrap env in the kinds of noise that are not zero."""
    if sticky_actions:
        env = StickyActions(env, sticky_actions)
    if reward_noise:
        env = RewardNoise(env, reward_noise)
    if observation_noise:
        env = ObservationNoise(env, observation_noise)
    return env


def noisy_space(space: spaces.Space) -> spaces.Box:
    """The space of noisy observations: as `space`, without bounds. ValueError if it is not a Box of floats."""
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"observation_noise: needs a Box of floats, not {space}")
    return spaces.Box(-np.inf, np.inf, space.shape, space.dtype.type)


class _FirstRecord(dict[str, Any]):
    """An info whose `episode` is final: a `Monitor` around the noise would replace the clean return by the noisy one.

    SB3's `make_vec_env` always adds such a Monitor.
    """

    def __setitem__(self, key: str, value: Any) -> None:
        if key != "episode" or key not in self:
            super().__setitem__(key, value)
