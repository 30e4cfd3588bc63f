"""Box actions: the environment gets what lies within the bounds, the buffer keeps what was sampled."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from agents import PPO
from envs import make_vec


class Narrow(gymnasium.Env[np.ndarray, np.ndarray]):
    """Bounds that a standard Gaussian exceeds nine times out of ten; remembers what it was told."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Box(-0.1, 0.1, (2,))

    def __init__(self) -> None:
        self.executed: list[np.ndarray] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.executed.append(np.array(action))
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize("backend", ["inprocess", "dummy"])
def test_actions_are_clipped_on_their_way_to_the_environment(backend: str) -> None:
    gymnasium.register("Narrow-v0", Narrow, max_episode_steps=10)
    try:
        venv = make_vec("Narrow-v0", 2, 0, backend)
    finally:
        del gymnasium.registry["Narrow-v0"]
    model = PPO("MlpPolicy", venv, n_steps=32, batch_size=64, n_epochs=1, seed=0, device="cpu").learn(64)
    executed = np.array([env.unwrapped.executed for env in venv.envs]).swapaxes(0, 1)  # type: ignore[attr-defined]
    sampled = model.rollout_buffer.actions  # [T, N, D]
    assert (np.abs(sampled) > 0.1).mean() > 0.8
    np.testing.assert_array_equal(executed, np.clip(sampled, -0.1, 0.1).astype(np.float32))
