"""One step of an environment, as the collector takes it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.training.rollouts import RolloutBuffer
from agents.training.stepper import Stepper
from envs import VecNormalize
from envs.backends.inprocess import InProcessVecEnv
from envs.backends.sb3 import DummyVecEnv
from envs.recorder import EpisodeRecorder


class Game(gymnasium.Env[Any, Any]):
    """Ends after so many steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        self.steps += 1
        return np.zeros(1, np.float32), 1.0, self.steps == self.length, False, {}


class LosesALife(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Every step ends an episode for training; the recorder inside goes on."""

    def reset(self, **kwargs: Any) -> Any:
        return self.env.reset(**kwargs) if not getattr(self, "steps", 0) else (np.zeros(1, np.float32), {})

    def step(self, action: int) -> Any:
        self.steps = 1
        observation, reward, _, truncated, info = self.env.step(action)
        return observation, reward, True, truncated, info


@pytest.mark.parametrize("backend", [InProcessVecEnv, DummyVecEnv])
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("by_arrays", [False, True])
def test_a_lost_life_takes_no_other_environments_episode(
    backend: type[DummyVecEnv], normalized: bool, by_arrays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stepper, "by_arrays", by_arrays)
    venv: Any = backend([lambda: LosesALife(EpisodeRecorder(Game(9))), lambda: EpisodeRecorder(Game(2))])
    venv = VecNormalize(venv) if normalized else venv
    venv.reset()
    stepper = Stepper(venv)
    stepper(np.array([0, 0]))
    step = stepper(np.array([0, 0]))
    assert step.terminated.tolist() == [True, True]
    assert step.episode_rows.tolist() == [1]
    assert step.episode_returns.tolist() == [2.0]
    assert ["episode" in info for info in stepper.infos(step, wanted=True)] == [False, True]


@pytest.mark.parametrize("device", ["cpu", "meta"])  # meta: a device without numbers, which is none of the host's
def test_networks_get_images_with_their_channels_last(device: str) -> None:
    images = spaces.Box(0, 255, (4, 36, 36), np.uint8)
    buffer = RolloutBuffer(2, 3, images, spaces.Discrete(2), 2, torch.device(device))
    seen = buffer.observe(np.ones((3, 4, 36, 36), np.uint8))
    assert isinstance(seen, np.ndarray) and seen.flags.c_contiguous == (device == "meta")  # copied in one piece there
    batch = next(buffer.get(4))
    assert isinstance(batch.observations, torch.Tensor) and batch.observations.device.type == device
    assert batch.observations.shape == (4, 4, 36, 36)
    assert batch.observations.is_contiguous(memory_format=torch.channels_last)
