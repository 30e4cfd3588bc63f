"""When the garbage collector runs: not while a command starts, and always once it is over."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from experiment.errors import CommandError, ExitCode, run_command

ONCE = """
import gc
from experiment import garbage
for _ in range(2):
    garbage.pause()
    assert not gc.isenabled()
    cycle = []
    cycle.append(cycle)
    garbage.resume()
    assert gc.isenabled()
    counts = gc.get_freeze_count(), *globals().get("counts", ())
assert counts[0] == counts[1] > 1000, counts
"""


def test_pauses_while_a_command_starts() -> None:
    enabled = []

    def command() -> ExitCode:
        enabled.append(gc.isenabled())
        return ExitCode.OK

    assert run_command(command, debug=False) == 0
    assert enabled == [False]
    assert gc.isenabled()


def test_goes_on_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> ExitCode:
        raise CommandError(ExitCode.USAGE, "no")

    assert run_command(fail, debug=False) == 2
    assert gc.isenabled()


def test_what_is_there_is_set_aside_once() -> None:
    subprocess.run([sys.executable, "-c", ONCE], check=True)


def test_nothing_of_a_run_is_set_aside(tmp_path: Path) -> None:
    """Emulators complain at the exit if what holds them is never collected."""
    run = ["--algo", "reinforce", "--env", "PongNoFrameskip-v4", "-f", str(tmp_path)]
    settings = ["-n", "64", "--verbose", "0", "--eval-freq", "-1", "--eval-episodes", "1"]
    settings += ["-params", "n_envs:2", "n_steps:32", "batch_size:32", "max_episode_steps:100"]
    for command in (["train.py", *run, *settings], ["evaluate.py", *run, "--n-episodes", "1"]):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
        assert "leaked" not in done.stderr
