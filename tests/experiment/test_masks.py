"""Evaluations, on the way and at the end, heed the masks of an environment that has any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from experiment.cli import train_main

MASKED_ID = "MaskedForTests-v0"


class Masked(gymnasium.Env[np.ndarray, Any]):
    """One valid action at a time; any other raises."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space, self.action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(6)

    def action_masks(self) -> np.ndarray:
        return np.arange(6) == self.valid

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.valid = 0, int(self.np_random.integers(6))
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action == self.valid, "invalid action"
        self.steps, self.valid = self.steps + 1, int(self.np_random.integers(6))
        return np.zeros(1, np.float32), 1.0, self.steps >= 5, False, {}


def test_a_masked_run_goes_through(tmp_path: Path) -> None:
    gymnasium.register(MASKED_ID, entry_point=Masked, max_episode_steps=10)
    try:
        arguments = ["--env", MASKED_ID, "-n", "256", "--eval-freq", "128", "-f", str(tmp_path), "--verbose", "0"]
        assert train_main([*arguments, "-params", "n_steps:128", "batch_size:64", "--seed", "0"]) == 0
    finally:
        del gymnasium.registry[MASKED_ID]
    assert (tmp_path / "ppo" / "MaskedForTests-v0_1" / "best_model.zip").is_file()
