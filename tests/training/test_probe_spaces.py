"""The known values again, for the other kinds of action and for Dict observations."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from agents import PPO
from envs import make_vec

GAMMA = 0.8
FAST: dict[str, Any] = {
    "n_steps": 64,
    "batch_size": 256,
    "n_epochs": 8,
    "learning_rate": "lin_1e-2",
    "gamma": GAMMA,
    "gae_lambda": 1.0,
    "seed": 0,
    "device": "cpu",
}


def trained(env_id: str) -> PPO:
    """A short run."""
    policy = "MultiInputPolicy" if "Dict" in env_id else "MlpPolicy"
    return PPO(policy, make_vec(env_id, n_envs=4, seed=0), **FAST).learn(2560)


def observation(env_id: str, number: float) -> Any:
    """A batch of one observation, as tensors."""
    tensor = torch.tensor([[number]])
    return {"constant": torch.ones(1, 2), "number": tensor} if "Dict" in env_id else tensor


@pytest.mark.parametrize("space", ["Box", "MultiDiscrete", "MultiBinary", "Dict"])
@pytest.mark.parametrize(("kind", "numbers"), [("Observation", [-1.0, 1.0]), ("Truncation", [0.0])])
def test_values_are_the_known_ones(kind: str, numbers: list[float], space: str) -> None:
    env_id = f"Probe{kind}{space}-v0"
    model, known = trained(env_id), gymnasium.make(env_id).unwrapped
    for number in numbers:
        with torch.no_grad():
            value = model.policy.predict_values(observation(env_id, number)).item()
        assert value == pytest.approx(known.optimal_value(number, GAMMA), abs=0.15)


def test_the_better_action_is_found_behind_a_dict() -> None:
    model = trained("ProbeActionDict-v0")
    seen = {"constant": np.ones(2, np.float32), "number": np.zeros(1, np.float32)}
    assert model.predict(seen, deterministic=True)[0] == 1
