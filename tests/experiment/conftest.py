"""Runs of the two commands inside the test process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from experiment.cli import evaluate_main, train_main


class Outcome(NamedTuple):
    """What a shell would have seen."""

    code: int
    out: str
    err: str


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A log folder that does not exist yet."""
    return tmp_path / "logs"


@pytest.fixture
def train(logs: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`train.py ARGUMENTS -f logs`."""
    return _command(train_main, logs, capfd)


@pytest.fixture
def evaluate(logs: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`evaluate.py ARGUMENTS -f logs`."""
    return _command(evaluate_main, logs, capfd)


def _command(main: Callable[[list[str]], int], logs: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run(*arguments: str, folder: str | Path = logs) -> Outcome:
        capfd.readouterr()
        code = main(["-f", str(folder), *arguments])
        return Outcome(code, *capfd.readouterr())

    return run
