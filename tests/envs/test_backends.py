"""Each backend against a plain loop over gymnasium.make, transition by transition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing
from stable_baselines3.common.monitor import Monitor

from envs import make_vec

from .plain_loop import assert_same, plain_loop


@pytest.mark.parametrize("backend", ["inprocess", "dummy"])
def test_cartpole(backend: str) -> None:
    actions = np.random.default_rng(0).integers(0, 2, (3400, 3))
    reference = plain_loop(lambda: gymnasium.make("CartPole-v1", max_episode_steps=25), 3, 7, actions)
    counts = assert_same(make_vec("CartPole-v1", 3, 7, backend, max_episode_steps=25), reference, actions)
    assert min(counts.values()) > 30


class StackedByHand(gymnasium.Wrapper):
    """The last four frames, and the sign of the reward."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        frame, info = self.env.reset(**kwargs)
        self.frames = [np.zeros_like(frame)] * 3 + [frame]
        return np.array(self.frames), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        frame, reward, terminated, truncated, info = self.env.step(action)
        self.frames = [*self.frames[1:], frame]
        return np.array(self.frames), float(np.sign(reward)), terminated, truncated, info  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("env_id", "steps"),
    [
        ("ALE/Pong-v5", 550),
        ("PongNoFrameskip-v4", 550),
        pytest.param("ALE/Pong-v5", 5000, marks=pytest.mark.slow),
    ],
)
def test_pong(env_id: str, steps: int) -> None:
    def make() -> gymnasium.Env:
        env = AtariPreprocessing(gymnasium.make(env_id, frameskip=1))
        return StackedByHand(gymnasium.wrappers.TimeLimit(env, 130))

    actions = np.random.default_rng(0).integers(0, 6, (steps, 2))
    counts = assert_same(
        make_vec(env_id, 2, 0, "inprocess", max_episode_steps=130), plain_loop(make, 2, 0, actions), actions
    )
    assert counts == {"terminated": 0, "truncated": 2 * (steps // 130)}


def test_worker_processes(tmp_path: Path) -> None:
    actions = np.random.default_rng(0).integers(0, 2, (300, 2))
    venv = make_vec("CartPole-v1", 2, 7, "subproc", max_episode_steps=25, monitor_dir=tmp_path)
    try:
        reference = plain_loop(lambda: gymnasium.make("CartPole-v1", max_episode_steps=25), 2, 7, actions)
        counts = assert_same(venv, reference, actions)
        assert min(counts.values()) > 3
        lines = [path.read_text().splitlines()[2:] for path in sorted(tmp_path.glob("*.monitor.csv"))]
        assert sum(map(len, lines)) == sum(counts.values())
        assert len(lines) == 2
        assert venv.env_is_wrapped(Monitor) == [True, True]
        assert venv.get_attr("gravity", 1) == [9.8]
    finally:
        venv.close()
