"""Experiments side by side, one process and one thread each, with a bar for each that runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import results

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
ROOT = Path(__file__).parents[2]


def run(names: Sequence[str], full: bool, folder: Path, jobs: int, again: bool) -> int:
    """Run experiments, skipping those whose results are up to date; the number of those that failed."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    failed = 0
    with Progress(*columns, console=Console(soft_wrap=True)) as progress, ThreadPoolExecutor(jobs) as pool:
        overall = progress.add_task("experiments", total=len(names))

        def one(name: str) -> bool:
            done = not again and results.is_current(name, full, folder)
            if done:
                progress.print(f"{name}: up to date")
            else:
                done = run_one(name, full, folder, progress)
            progress.advance(overall)
            return done

        try:
            failed = sum(not done for done in pool.map(one, names))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def run_one(name: str, full: bool, folder: Path, progress: Progress) -> bool:
    """One experiment, in its own process; whether it succeeded."""
    command = [sys.executable, "-m", f"{__package__}.worker", name, str(folder.absolute()), *["--full"] * full]
    task, start = progress.add_task(name, total=None), time.monotonic()
    environment = {**os.environ, **ONE_THREAD}
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            for line in process.stdout or ():
                done, total = map(int, line.split())
                progress.update(task, completed=done, total=total)
        progress.remove_task(task)
        seconds = f"{time.monotonic() - start:.0f} s"
        if process.returncode:
            errors.seek(0)
            progress.print(f"{name}: failed after {seconds}\n{errors.read()}", markup=False)
            return False
    progress.print(f"{name}: {seconds}")
    for finding in results.read(name, folder)["findings"]:
        progress.print(f"    {finding['verdict']}: {finding['claim']}\n        {finding['measured']}", markup=False)
    return True
