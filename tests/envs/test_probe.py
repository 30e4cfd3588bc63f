"""Probe environments: the value that they promise is the value that they have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs.registration import OUR_IDS

PROBES = [env_id for env_id in OUR_IDS if env_id.startswith("Probe")]
GAMMA = 0.9
BEST_ACTIONS: dict[str, Any] = {
    "ProbeAction-v0": 1,
    "ProbeActionBox-v0": np.array([0.5], np.float32),
    "ProbeActionMultiDiscrete-v0": np.array([1, 2]),
    "ProbeActionMultiBinary-v0": np.array([1, 0, 1], np.int8),
    "ProbeActionDict-v0": 1,
}
KINDS = ("Constant", "Observation", "Discount", "Truncation", "Action")


def number(observation: Any) -> float:
    """The number observed, whatever it is packed in."""
    return float((observation["number"] if isinstance(observation, dict) else observation)[0])


def discounted_return(env: gymnasium.Env, act: Callable[[], Any], seed: int) -> tuple[float, float, bool]:
    """First observation, discounted return of one episode (its last step repeated for ever if truncated), truncated."""
    observation, _ = env.reset(seed=seed)
    first, total, discount = number(observation), 0.0, 1.0
    while True:
        _, reward, terminated, truncated, _ = env.step(act())
        total += discount * float(reward)
        discount *= GAMMA
        if truncated:
            total += discount * float(reward) / (1 - GAMMA)
        if terminated or truncated:
            return first, total, truncated


@pytest.mark.parametrize("env_id", PROBES)
def test_optimal_values(env_id: str) -> None:
    env = gymnasium.make(env_id)
    env.action_space.seed(0)
    value = env.unwrapped.optimal_value  # type: ignore[attr-defined]
    seen = set()
    for seed in range(20):
        first, best, truncated = discounted_return(
            env, lambda: BEST_ACTIONS.get(env_id, env.action_space.sample()), seed
        )
        assert best == pytest.approx(value(first, GAMMA))
        assert truncated == ("Truncation" in env_id)
        seen.add(first)
        if env_id in BEST_ACTIONS:
            assert discounted_return(env, env.action_space.sample, seed)[1] <= best
    assert seen == ({-1.0, 1.0} if "Observation" in env_id else {0.0})


@pytest.mark.parametrize("space", ["", "Box", "MultiDiscrete", "MultiBinary", "Dict"])
def test_every_kind_exists_for_every_space(space: str) -> None:
    kinds = {"": "Discrete", "Dict": "Discrete"}
    for kind in KINDS:
        env = gymnasium.make(f"Probe{kind}{space}-v0")
        assert type(env.action_space).__name__ == kinds.get(space, space)
        assert isinstance(env.observation_space, gymnasium.spaces.Dict) == (space == "Dict")
    assert len(PROBES) == 25


@pytest.mark.parametrize("space", ["", "Dict"])
def test_the_second_step_of_the_discounting_probe(space: str) -> None:
    env = gymnasium.make(f"ProbeDiscount{space}-v0")
    env.reset(seed=0)
    observation, reward, terminated, _, _ = env.step(0)
    assert (number(observation), reward, terminated) == (1.0, 0.0, False)
    assert env.unwrapped.optimal_value(1.0, GAMMA) == 1.0  # type: ignore[attr-defined]
    assert env.step(0)[1:3] == (1.0, True)


@pytest.mark.parametrize("env_id", sorted(BEST_ACTIONS))
def test_a_worse_action_pays_less(env_id: str) -> None:
    env = gymnasium.make(env_id)
    env.action_space.seed(1)
    rewards = [discounted_return(env, env.action_space.sample, seed)[1] for seed in range(20)]
    assert min(rewards) < 1.0


def test_unknown_kinds() -> None:
    with pytest.raises(ValueError, match="observations='dic': unknown, did you mean 'dict'"):
        gymnasium.make("ProbeAction-v0", observations="dic")
    with pytest.raises(ValueError, match="actions='boxx': unknown, did you mean 'box'"):
        gymnasium.make("ProbeAction-v0", actions="boxx")
