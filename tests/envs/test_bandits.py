"""Bandits: arms pay what their means say, with the noise asked for."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from envs import make_vec
from envs.bandits import bandit_arrays


def pulls(arm: int, n: int, **kwargs: Any) -> np.ndarray:
    """Rewards [n] of an arm."""
    env = gymnasium.make("Bandit-v0", **kwargs)
    env.reset(seed=0)
    rewards = []
    for _ in range(n):
        env.reset()
        observation, reward, terminated, truncated, _ = env.step(arm)
        assert observation == [0.0] and terminated and not truncated
        rewards.append(float(reward))
    return np.array(rewards)


def test_arrays() -> None:
    arrays = bandit_arrays([9, 8, 7.5])
    assert arrays.P.tolist() == [[[1], [1], [1]]]
    assert arrays.r.tolist() == [[9, 8, 7.5]]
    assert arrays.rho.tolist() == [1]


def test_arms_pay_their_means() -> None:
    means = [3.0, -1.0, 0.25]
    for arm, mean in enumerate(means):
        assert (pulls(arm, 3, means=means) == mean).all()
    assert gymnasium.make("Bandit-v0", means=means).action_space == gymnasium.spaces.Discrete(3)


@pytest.mark.parametrize("noise", [0.5, "uniform:0.5", "gaussian:0.5"])
def test_noise_on_arms(noise: float | str) -> None:
    rewards = pulls(1, 4000, means=[0.0, 2.0], noise=noise)
    assert rewards.mean() == pytest.approx(2.0, abs=0.04)
    assert rewards.std() == pytest.approx(0.5, rel=0.05)


def test_bernoulli_arms() -> None:
    rewards = pulls(0, 4000, means=[0.3, 1.0], noise="bernoulli")
    assert set(rewards) == {0.0, 1.0}
    assert rewards.mean() == pytest.approx(0.3, abs=0.03)
    assert (pulls(1, 100, means=[0.3, 1.0], noise="bernoulli") == 1).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"means": [1.0]}, "must be at least two finite numbers"),
        ({"means": [1.0, float("nan")]}, "must be at least two finite numbers"),
        ({"means": "abc"}, "means='abc': must be at least two finite numbers"),
        ({"means": [[1, 2], [3]]}, "must be at least two finite numbers"),
        ({"means": [0.5, 2.0], "noise": "bernoulli"}, r"of Bernoulli arms must lie in \[0, 1\]"),
        ({"noise": "bernouli"}, "noise=.bernouli.: neither .bernoulli. nor"),
        ({"noise": -1.0}, "must be a number >= 0"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec("Bandit-v0", env_kwargs=kwargs)


def test_arms_that_are_none() -> None:
    env = gymnasium.make("Bandit-v0").unwrapped
    env.reset()
    with pytest.raises(ValueError, match="must lie in Discrete"):
        env.step(-1)
