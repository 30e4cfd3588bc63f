"""Noise on what the agent sees, does and gets, as Gymnasium wrappers that leave the reported returns clean.

Each wrapper draws from its own generator, spawned from the environment's `np_random` when that is seeded. Spawning
takes nothing from the parent's stream, so the same seed gives the same initial states with and without noise.
"""

from __future__ import annotations

from copy import copy
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.core import ActType, ObsType
from gymnasium.utils import RecordConstructorArgs

from . import checks
from .noise import NoiseLevels, RewardNoiseSpec, check_random_action, noisy_space, random_actions


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
    """Zero-mean noise on the reward; see `RewardNoiseSpec` for the kinds.

    Args:
        env: what to wrap.
        std: the STANDARD DEVIATION of the noise in units of reward (not the variance), finite and >= 0.
        kind: "gaussian", "uniform" or "student_t".

    Raises:
        ValueError: std is negative or not finite, or the kind is unknown.
    """

    def __init__(self, env: gymnasium.Env[ObsType, ActType], std: float, kind: str = "gaussian") -> None:
        RecordConstructorArgs.__init__(self, std=std, kind=kind)
        super().__init__(env)
        self.noise = RewardNoiseSpec(kind, std)

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step with noise on the reward; an episode's record inside info stays what it was."""
        assert self.rng is not None
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "episode" in info:
            info = _FirstRecord(info)
        return observation, float(reward) + float(self.noise.draw(self.rng, 1)[0]), terminated, truncated, info


class DelayedReward(gymnasium.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs):
    """Rewards are held back and paid in one sum every `delay` steps, and at the end of the episode; 0 in between.

    The return of an episode does not change, the discounted one does.

    Args:
        env: what to wrap.
        delay: steps between two payments, >= 0; 0 and 1 pay at once.

    Raises:
        ValueError: delay is negative or not a whole number.
    """

    def __init__(self, env: gymnasium.Env[ObsType, ActType], delay: int) -> None:
        RecordConstructorArgs.__init__(self, delay=delay)
        super().__init__(env)
        self.delay = checks.integer("reward_delay", delay, 0)
        self.held_back, self.waited = 0.0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Reset, with nothing held back."""
        self.held_back, self.waited = 0.0, 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step; pay if a payment is due."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if "episode" in info:
            info = _FirstRecord(info)
        self.held_back += float(reward)
        self.waited += 1
        paid = 0.0
        if terminated or truncated or self.waited >= self.delay:
            paid, self.held_back, self.waited = self.held_back, 0.0, 0
        return observation, paid, terminated, truncated, info


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
            self.last_action = copy(action)  # it may be a row of an array that the caller writes to again
        return self.env.step(self.last_action)


class RandomAction(_NoiseWrapper[ObsType, ActType]):
    """With some probability a uniformly random action is executed instead.

    Args:
        env: what to wrap; its actions are Discrete, MultiDiscrete, MultiBinary or a bounded Box.
        random_probability: in [0, 1).

    Raises:
        ValueError: the probability is outside [0, 1), or the actions have no uniform distribution.
    """

    def __init__(self, env: gymnasium.Env[ObsType, ActType], random_probability: float) -> None:
        RecordConstructorArgs.__init__(self, random_probability=random_probability)
        super().__init__(env)
        check_random_action(env.action_space)
        self.random_probability = checks.probability("random_action", random_probability)

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step with this action or a random one."""
        assert self.rng is not None
        if self.rng.random() < self.random_probability:
            action = random_actions(self.action_space, self.rng, 1)[0]
        return self.env.step(action)


def add_noise(env: gymnasium.Env, levels: NoiseLevels) -> gymnasium.Env:
    """Wrap env in the kinds of noise that are not zero, in the order of envs.noise."""
    if levels.sticky:
        env = StickyActions(env, levels.sticky)
    if levels.random_action:
        env = RandomAction(env, levels.random_action)
    if levels.reward_delay > 1:
        env = DelayedReward(env, levels.reward_delay)
    if levels.reward.std:
        env = RewardNoise(env, levels.reward.std, levels.reward.kind)
    if levels.observation:
        env = ObservationNoise(env, levels.observation)
    return env


class _FirstRecord(dict[str, Any]):
    """An info whose `episode` is final: a `Monitor` around the noise would replace the clean return by the noisy one.

    SB3's `make_vec_env` always adds such a Monitor.
    """

    def __setitem__(self, key: str, value: Any) -> None:
        if key != "episode" or key not in self:
            super().__setitem__(key, value)
