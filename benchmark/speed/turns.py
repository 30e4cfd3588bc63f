"""Training speed side by side: every contender of a task in a process of its own, taking turns in random order.

What is compared is CPU time (user and system, all threads) per million environment steps, after a warm-up; of each
contender the median of its turns and their range, and the median of the ratios of its baseline's within each round.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from .split import PARTS
from .tables import machine
from .tasks import CONTENDERS, TASKS

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"), "1") | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}
_NONE: Mapping[str, Path] = MappingProxyType({})


class Turn(NamedTuple):
    """What one chunk of steps cost."""

    cpu: float  # CPU seconds per million environment steps
    wall: float
    peak_mb: float
    split: dict[str, float]  # CPU seconds per million steps by part


class Worker:
    """A contender at work, which starts and warms up by itself."""

    def __init__(self, task: str, contender: str, split: bool = False, checkouts: Mapping[str, Path] = _NONE) -> None:
        project = CONTENDERS[contender].project
        module, last = ("scripts", [str(checkouts[project])]) if project else ("worker", ["split"] if split else [])
        command = [sys.executable, "-m", f"benchmark.speed.{module}", task, contender, *last]
        self.name = contender
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD
        )

    def wait(self) -> None:
        """Until it has warmed up, which the first turn needs. RuntimeError if it has ended instead."""
        self._answer()

    def turn(self) -> Turn:
        """Let it train for a chunk."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        report = json.loads(self._answer())
        per_million = 1e6 / report["steps"]
        split = {part: seconds * per_million for part, seconds in report.get("split", {}).items()}
        return Turn(report["cpu"] * per_million, report["wall"] * per_million, report["peak_mb"], split)

    def close(self) -> None:
        """End it: by the end of its orders, after which it clears up, or else by force."""
        try:
            self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _answer(self) -> str:
        """The next line that is meant for us; libraries may write lines of their own.

        Raises:
            RuntimeError: if the worker has ended.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(("ready", "{")):
                return line
        self.close()
        raise RuntimeError(f"{self.name}: ended with exit status {self._process.returncode}")


def measure(
    task: str, contenders: Iterable[str], rounds: int, checkouts: Mapping[str, Path] = _NONE
) -> dict[str, list[Turn]]:
    """The turns of each contender, one a round, in random order; `checkouts` by project of those that are scripts.

    One that fails is left out, with a line that says so.
    """
    names = [name for name in contenders if CONTENDERS[name].takes_part(TASKS[task])]
    workers = {name: Worker(task, name, checkouts=checkouts) for name in names}
    turns: dict[str, list[Turn]] = {name: [] for name in names}
    try:
        for round_number in range(1 + rounds):  # in the first they warm up, all at once
            for name in random.sample(list(workers), len(workers)):
                try:
                    if round_number:
                        turns[name].append(workers[name].turn())
                    else:
                        workers[name].wait()
                except RuntimeError as error:
                    print(f"{task}: left out: {error}", flush=True)
                    del workers[name], turns[name]
    finally:
        for worker in workers.values():
            worker.close()
    return turns


def measure_split(task: str, contender: str, rounds: int) -> dict[str, float]:
    """Medians of CPU seconds per million steps by part, `other` included, from a run with stop-watches."""
    worker = Worker(task, contender, split=True)
    try:
        worker.wait()
        turns = [worker.turn() for _ in range(rounds)]
    finally:
        worker.close()
    parts = {part: statistics.median(turn.split[part] for turn in turns) for part in PARTS}
    return parts | {"other": statistics.median(turn.cpu for turn in turns) - sum(parts.values())}


def summary(task: str, turns: dict[str, list[Turn]], splits: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """A row per contender."""
    rows = []
    for name, own in turns.items():
        cpu = [turn.cpu for turn in own]
        contender = CONTENDERS[name]
        row: dict[str, Any] = {"task": task, "contender": name, "rounds": len(own)}
        row |= {"cpu": statistics.median(cpu), "cpu_min": min(cpu), "cpu_max": max(cpu)}
        row["wall"] = statistics.median(turn.wall for turn in own)
        ratios = [theirs.cpu / ours.cpu for theirs, ours in zip(turns.get(contender.baseline, []), own, strict=False)]
        row |= {"baseline": contender.baseline, "ratio": statistics.median(ratios) if ratios else ""}
        goal = contender.goal or (TASKS[task].at_least or "", TASKS[task].aim or "")
        has_goal = contender.ours and contender.baseline == "sb3 ppo"
        row |= dict(zip(("at_least", "aim"), goal if has_goal else ("", ""), strict=True))
        row["peak_mb"] = max(turn.peak_mb for turn in own)
        row |= {part: splits.get(name, {}).get(part, "") for part in (*PARTS, "other")}
        row |= {"load": os.getloadavg()[0], "machine": machine(TASKS[task].device)}
        rows.append(row)
    return rows
