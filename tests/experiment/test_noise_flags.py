"""Noise from the command line: in training, never in what is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Run = Callable[..., Any]
ALL_KINDS = (
    "--reward-noise", "student_t:2.0", "--observation-noise", "0.01", "--sticky-actions", "0.1",
    "--random-action", "0.2", "--reward-delay", "7",
)  # fmt: skip
SHORT = ("-n", "1024", "--seed", "3", "--eval-freq", "-1", "--eval-episodes", "1", "--verbose", "0")


def scalars(run: Path, tag: str) -> list[float]:
    """The values of a tag in the events of a run."""
    events = EventAccumulator(str(next(run.rglob("events*")).parent))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


@pytest.mark.parametrize("backend", ["native", "inprocess"])
def test_logged_returns_are_clean(backend: str, train: Run, logs: Path) -> None:
    done = train(*SHORT, *ALL_KINDS, "--vec-env", backend, "-params", "n_envs:4", "n_steps:128")
    assert done.code == 0, done.err
    returns, lengths = (scalars(logs, f"rollout/ep_{what}_mean") for what in ("rew", "len"))
    assert len(returns) == 2
    assert returns == lengths  # CartPole pays 1 a step


def test_reward_noise_on_half_cheetah(train: Run, logs: Path, tmp_path: Path) -> None:
    params = ("-params", "n_steps:512", "n_envs:1", "batch_size:64", "max_episode_steps:100")
    what = ("--env", "HalfCheetah-v5", *SHORT, *params)
    noise = ("--reward-noise", "2.0", "--reward-delay", "5")
    for folder, more in ((logs, noise), (tmp_path / "clean", ())):
        done = train(*what, *more, folder=folder)
        assert done.code == 0, done.err
    noisy, clean = (scalars(folder, "rollout/ep_rew_mean") for folder in (logs, tmp_path / "clean"))
    assert noisy[0] == clean[0]  # the same policy in both, as nothing has been learned yet
    assert noisy[1] != clean[1]  # learned from other rewards
