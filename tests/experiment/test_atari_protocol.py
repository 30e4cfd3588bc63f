"""What a step, an episode and a reward of an Atari run are is printed and saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_the_protocol_is_printed_and_saved(train: Run, evaluate: Run, logs: Path) -> None:
    pong = ("--env", "PongNoFrameskip-v4")
    settings = ("n_envs:2", "n_steps:4", "batch_size:8", "n_epochs:1", "max_episode_steps:10", "atari:dict(noop_max=5)")
    short = ("-n", "8", "--eval-freq", "-1", "--eval-episodes", "1")
    done = train(*pong, *short, "--sticky-actions", "0.1", "-params", *settings)
    assert done.code == 0, done.err
    line = (
        "protocol: frame_skip 4, sticky 0.1, noop_max 5, life_loss {training}, clip_reward {training}, "
        "full_action_space False, fire_reset False, screen_size 84, frame_stack 4, max_episode_steps 10\n"
    )
    assert line.format(training=True) in done.out
    saved = json.loads((logs / "ppo" / "PongNoFrameskip-v4_1" / "run.json").read_text())["protocol"]
    assert (saved["frame_skip"], saved["sticky"], saved["life_loss"], saved["noop_max"]) == (4, 0.1, True, 5)

    played = evaluate(*pong, "--n-episodes", "1")
    assert line.format(training=False) in played.out
    played = evaluate(*pong, "--n-episodes", "1", "--json", "-")
    assert json.loads(played.out)["protocol"] == saved | {"life_loss": False, "clip_reward": False}


def test_other_environments_have_none(train: Run, logs: Path) -> None:
    done = train("-n", "16", "--eval-freq", "-1", "--eval-episodes", "1", "-params", "n_steps:8", "batch_size:8")
    assert done.code == 0, done.err
    assert "protocol" not in done.out
    assert json.loads((logs / "ppo" / "CartPole-v1_1" / "run.json").read_text())["protocol"] == {}
