"""Levels of noise: what may be asked for, said once for the wrappers (noise_wrappers) and the arrays (noise_arrays).

In the order in which they act: a random action replaces the agent's, the previous action is executed instead (sticky),
rewards are held back and paid in one sum, noise is added to what is paid, noise is added to what is observed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from . import checks

NOISE_ARGUMENTS = ("reward_noise", "observation_noise", "sticky_actions", "random_action", "reward_delay")
KINDS = ("gaussian", "uniform", "student_t")
_DEGREES_OF_FREEDOM = 3  # of the Student t: the heaviest tails of a whole number of them that have a variance
_UNIT = math.sqrt(3.0)  # both the half-width of a uniform variable of std 1 and the std of a Student t with 3 degrees


@dataclass(frozen=True)
class RewardNoiseSpec:
    """Zero-mean noise on the reward, independent at each step.

    `gaussian`: std * N(0, 1). `uniform`: on [-sqrt(3) std, sqrt(3) std]. `student_t`: std / sqrt(3) * t with 3 degrees
    of freedom, whose tails fall like |x|^-4 (no fourth moment).

    Args:
        kind: one of the three.
        std: the STANDARD DEVIATION in units of reward (not the variance), whatever the kind; finite and >= 0.

    Raises:
        ValueError: an unknown kind, or a std that is negative or not finite.
    """

    kind: str = "gaussian"
    std: float = 0.0

    def __post_init__(self) -> None:
        checks.one_of("reward_noise kind", self.kind, KINDS)
        checks.number("reward_noise", self.std)

    @classmethod
    def parse(cls, value: float | str) -> RewardNoiseSpec:
        """A number is Gaussian; a string is "gaussian:0.5", "uniform:0.5", "student_t:0.5", or a number."""
        if not isinstance(value, str):
            return cls("gaussian", checks.number("reward_noise", value))
        kind, colon, std = value.rpartition(":")
        try:
            level = float(std)
        except ValueError:
            raise ValueError(f"reward_noise={value!r}: must be a number or KIND:STD, as in uniform:0.5") from None
        return cls(kind if colon else "gaussian", checks.number("reward_noise", level))

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n values [n] float32."""
        if self.kind == "gaussian":
            noise = rng.standard_normal(n, np.float32)
            noise *= self.std
            return noise
        if self.kind == "uniform":
            return rng.uniform(-_UNIT * self.std, _UNIT * self.std, n).astype(np.float32)
        return (rng.standard_t(_DEGREES_OF_FREEDOM, n) * (self.std / _UNIT)).astype(np.float32)


@dataclass(frozen=True)
class NoiseLevels:
    """All kinds of noise on one environment; `NoiseLevels()` is none. ValueError for a level out of range."""

    reward: RewardNoiseSpec = RewardNoiseSpec()
    observation: float = 0.0  # standard deviation, in units of the observation
    sticky: float = 0.0  # probability in [0, 1) that the action executed before is executed again
    random_action: float = 0.0  # probability in [0, 1) that a uniformly random action is executed
    reward_delay: int = 0  # rewards are paid every so many steps, in one sum, and at the end; 0 and 1: at once

    def __post_init__(self) -> None:
        checks.number("observation_noise", self.observation)
        checks.probability("sticky_actions", self.sticky)
        checks.probability("random_action", self.random_action)
        checks.integer("reward_delay", self.reward_delay, 0)

    @classmethod
    def parse(
        cls,
        reward_noise: float | str = 0.0,
        observation_noise: float = 0.0,
        sticky_actions: float = 0.0,
        random_action: float = 0.0,
        reward_delay: int = 0,
    ) -> NoiseLevels:
        """From the arguments of `make_vec`."""
        reward = RewardNoiseSpec.parse(reward_noise)
        return cls(reward, observation_noise, sticky_actions, random_action, reward_delay)

    @property
    def any(self) -> bool:
        """Whether there is any noise at all."""
        return bool(self.reward.std or self.observation or self.sticky or self.random_action or self.reward_delay > 1)


def noisy_space(space: spaces.Space) -> spaces.Box:
    """The space of noisy observations: as `space`, without bounds. ValueError if it is not a Box of floats."""
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"observation_noise: needs a Box of floats, not {space}")
    return spaces.Box(-np.inf, np.inf, space.shape, space.dtype.type)


def check_random_action(space: spaces.Space) -> None:
    """Whether there is a uniform distribution on a space of actions; ValueError if not."""
    if isinstance(space, spaces.Box) and space.is_bounded():
        return
    if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise ValueError(f"random_action: there is no uniformly random action in {space}")


def random_actions(space: Any, rng: np.random.Generator, n: int) -> np.ndarray:
    """n uniformly random actions [n, ...] of a space that `check_random_action` accepts."""
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, n)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.start, space.start + space.nvec, (n, *space.shape))
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(0, 2, (n, *space.shape), space.dtype)
    return rng.uniform(space.low, space.high, (n, *space.shape)).astype(space.dtype)
