"""When the garbage collector runs: not while a command starts, but while it trains, and once it is over."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

import agents
import envs
from experiment import callbacks, garbage
from experiment.errors import CommandError, ExitCode, run_command
from experiment.signals import StopRequest

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


def test_goes_on_as_training_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    enabled = []

    def on_step(self: callbacks.StopOnSignal) -> bool:
        enabled.append(gc.isenabled())
        return False

    monkeypatch.setattr(callbacks.StopOnSignal, "_on_step", on_step)
    garbage.pause()
    try:
        model = agents.PPO("MlpPolicy", envs.make_vec("CartPole-v1", 1), n_steps=64, batch_size=64)
        model.learn(64, callback=callbacks.StopOnSignal(StopRequest()))
    finally:
        gc.enable()
    assert enabled == [True]


def test_what_is_there_is_set_aside_once() -> None:
    subprocess.run([sys.executable, "-c", ONCE], check=True)
