"""K-armed bandits: one state, one step, as an array and as an environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from .noise import RewardNoiseSpec
from .tabular import TabularArrays

BERNOULLI = "bernoulli"


def bandit_arrays(means: Sequence[float]) -> TabularArrays:
    """A bandit as a process with one state: P [1, K, 1] of ones, r [1, K], rho [1]; its value is that of gamma = 0.

    Raises:
        ValueError: fewer than two arms, or a mean that is not finite.
    """
    r = _checked(means)
    return TabularArrays(np.ones((1, len(r), 1)), r[None, :], np.ones(1))


class BanditEnv(gymnasium.Env[np.ndarray, np.int64]):
    """One pull of one of K arms per episode; the observation is always [0.0].

    Noise here belongs to the task, and so to the reported returns; for returns without it use `reward_noise` of
    `make_vec` instead.

    Args:
        means: expected reward of each arm, K >= 2 finite numbers.
        noise: standard deviation of Gaussian noise, "KIND:STD" as in "uniform:0.5", or "bernoulli", where arms pay 1
            with probability `means` and else 0.
        render_mode: None; there is nothing to see.

    Raises:
        ValueError: bad means, a Bernoulli mean outside [0, 1], or a noise that is not known.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(
        self, means: Sequence[float] = (0.0, 1.0), noise: float | str = 0.0, render_mode: str | None = None
    ) -> None:
        self.means, self.render_mode = _checked(means), render_mode
        self.is_bernoulli = noise == BERNOULLI
        if self.is_bernoulli and not ((self.means >= 0) & (self.means <= 1)).all():
            raise ValueError(f"means={means!r}: of Bernoulli arms must lie in [0, 1]")
        try:
            self.noise = RewardNoiseSpec() if self.is_bernoulli else RewardNoiseSpec.parse(noise)
        except ValueError as error:
            raise ValueError(f"noise={noise!r}: neither {BERNOULLI!r} nor a noise on rewards ({error})") from error
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(len(self.means))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Pull an arm. ValueError if there is no such arm."""
        if not 0 <= action < len(self.means):
            raise ValueError(f"action={action!r}: must lie in {self.action_space}")
        reward = float(self.means[action])
        if self.is_bernoulli:
            reward = float(self.np_random.random() < reward)
        elif self.noise.std:
            reward += float(self.noise.draw(self.np_random, 1)[0])
        return np.zeros(1, np.float32), reward, True, False, {}


def _checked(means: Sequence[float]) -> np.ndarray:
    try:
        array = np.array(means, np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
        raise ValueError(f"means={means!r}: must be at least two finite numbers")
    return array
