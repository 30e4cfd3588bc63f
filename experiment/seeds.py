"""`--seeds 0-4`: one process and one run folder per seed, then a table."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import CommandError, ExitCode
from .provenance import CHECKOUT
from .signals import StopRequest

POLL_SECONDS = 0.1


@dataclass
class SeedRun:
    """A seed, its process, and what came of it."""

    seed: int
    process: subprocess.Popen[bytes]
    result_file: Path

    def result(self) -> tuple[float, str] | None:
        """Mean final evaluation and run folder; None if the run failed."""
        if self.process.wait() != 0 or not self.result_file.is_file():
            return None
        result = json.loads(self.result_file.read_text())
        return float(result["mean"]), str(result["folder"])


def train_seeds(args: argparse.Namespace, argv: list[str]) -> ExitCode:
    """Run all seeds, `--jobs` at a time, and print the table.

    Raises:
        CommandError: with the code of the first failed run, or 130/143 after a signal (passed on to the runs).
    """
    common = without_flags(argv, {"--seeds": 1, "--jobs": 1})
    runs: list[SeedRun] = []
    with tempfile.TemporaryDirectory() as scratch, StopRequest() as stop:
        for seed in args.seeds:
            wait_for_room(runs, args.jobs, stop)
            if stop.signal is not None:
                break
            runs.append(start(common, seed, Path(scratch) / f"{seed}.json", show=args.jobs == 1))
        wait_for_room(runs, 1, stop)
        results = {run.seed: run.result() for run in runs}
    print_table(results)
    if stop.signal is not None:
        raise CommandError(
            stop.exit_code,
            f"{stop.name}: {len(args.seeds) - len(scores_of(results))} of {len(args.seeds)} seeds unfinished",
        )
    failed = [run for run in runs if results[run.seed] is None]
    if failed:
        code = failed[0].process.returncode
        known = code in {int(c) for c in ExitCode} - {0}
        seeds = ", ".join(str(run.seed) for run in failed)
        raise CommandError(
            ExitCode(code) if known else ExitCode.INTERNAL, f"{len(failed)} of {len(runs)} seeds failed: {seeds}"
        )
    return ExitCode.OK


def start(common: list[str], seed: int, result_file: Path, show: bool) -> SeedRun:
    """Start one run in a session of its own, so that a signal reaches it once, from here."""
    command = [
        sys.executable,
        str(CHECKOUT / "train.py"),
        *common,
        "--seed",
        str(seed),
        "--result-json",
        str(result_file),
    ]
    output = None if show else subprocess.DEVNULL
    return SeedRun(seed, subprocess.Popen(command, stdout=output, start_new_session=True), result_file)


def wait_for_room(runs: list[SeedRun], jobs: int, stop: StopRequest) -> None:
    """Return when fewer than `jobs` processes are alive; a signal is passed on to them, once."""
    passed_on = False
    while sum(run.process.poll() is None for run in runs) >= jobs:
        if stop.signal is not None and not passed_on:
            passed_on = True
            for run in runs:
                run.process.send_signal(stop.signal)
        time.sleep(POLL_SECONDS)


def without_flags(argv: list[str], flags: dict[str, int]) -> list[str]:
    """`argv` without these flags and their values, in both forms, `--flag value` and `--flag=value`."""
    kept: list[str] = []
    skip = 0
    for item in argv:
        if skip:
            skip -= 1
        elif item in flags:
            skip = flags[item]
        elif item.partition("=")[0] not in flags:
            kept.append(item)
    return kept


def scores_of(results: dict[int, tuple[float, str] | None]) -> list[float]:
    """Mean evaluations of the seeds that finished."""
    return [result[0] for result in results.values() if result is not None]


def print_table(results: dict[int, tuple[float, str] | None]) -> None:
    """One line per seed, then median and mean."""
    print(f"\n{'seed':>6}  {'mean return':>12}  run folder")
    for seed, result in results.items():
        print(f"{seed:>6}  {'failed':>12}" if result is None else f"{seed:>6}  {result[0]:>12.2f}  {result[1]}")
    scores = scores_of(results)
    if scores:
        print(
            f"{'median':>6}  {statistics.median(scores):>12.2f}\n{'mean':>6}  {statistics.fmean(scores):>12.2f}",
            flush=True,
        )
