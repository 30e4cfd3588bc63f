"""Experiments side by side, one process and one thread each, with a bar for each that runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import costs, results
from .costs import Cost

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
ROOT = Path(__file__).parents[2]


def run(names: Sequence[str], folder: Path, jobs: int, full: bool = False, again: bool = False) -> int:
    """Run experiments, skipping those whose results are up to date; the number of those that failed.

    Full ones also leave what they cost, see `costs`.
    """
    recording = Lock()

    def one(name: str, progress: Progress) -> bool:
        if not again and results.is_current(name, full, folder):
            progress.print(f"{name}: up to date")
            return True
        cost = work([name, str(folder.absolute()), *["--full"] * full, *["--again"] * again], progress)
        if cost is None:
            return False
        if full:
            with recording:
                costs.record(name, folder, cost)
        for finding in results.read(name, folder)["findings"]:
            progress.print(f"    {finding['verdict']}: {finding['claim']}\n        {finding['measured']}", markup=False)
        return True

    return _side_by_side(names, jobs, one)


def estimate(names: Sequence[str], folder: Path, jobs: int) -> int:
    """Estimate what the full grids cost that have not been run, see `scale`; the number of those that failed."""
    recording = Lock()

    def one(name: str, progress: Progress) -> bool:
        if results.is_current(name, True, folder):
            progress.print(f"{name}: has been run")
            return True
        cost = work([name, str(folder.absolute()), "--probe"], progress)
        if cost is not None:
            cost = Cost(cost.seconds, cost.megabytes, measured=False)
            with recording:
                costs.record(name, folder, cost)
            progress.print(f"    {cost}")
        return cost is not None

    return _side_by_side(names, jobs, one)


def _side_by_side(names: Sequence[str], jobs: int, one: Callable[[str, Progress], bool]) -> int:
    """Do one thing for every name; how often it failed."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(soft_wrap=True)) as progress, ThreadPoolExecutor(jobs) as pool:
        overall = progress.add_task("experiments", total=len(names))

        def counted(name: str) -> bool:
            done = one(name, progress)
            progress.advance(overall)
            return done

        try:
            return sum(not done for done in pool.map(counted, names))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def work(arguments: Sequence[str], progress: Progress) -> Cost | None:
    """A worker in its own process, with a bar: what it cost, None if it failed."""
    name = arguments[0]
    command = [sys.executable, "-m", f"{__package__}.worker", *arguments]
    task, start = progress.add_task(name, total=None), time.monotonic()
    cost = None
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            for line in process.stdout or ():
                if line.startswith("cost "):
                    _, seconds, megabytes = line.split()
                    cost = Cost(float(seconds), int(megabytes), measured=True)
                    continue
                done, total = map(int, line.split())
                progress.update(task, completed=done, total=total)
        progress.remove_task(task)
        taken = f"{time.monotonic() - start:.0f} s"
        if process.returncode or cost is None:
            errors.seek(0)
            progress.print(f"{name}: failed after {taken}\n{errors.read()}", markup=False)
            return None
    progress.print(f"{name}: {taken}")
    return cost
