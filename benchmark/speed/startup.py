"""From `python train.py` to the first finished episode: python -m benchmark speed startup

Each round starts `train.py --algo ppo --env CartPole-v1` with warm caches and with empty ones for compiled code, and
stops it once a line stands in its monitor file, some ten steps per environment after stepping began: with nothing but
the command and its files, as a user sees it. The imports of torch and of SB3 stand beside it, which no program on them
can save.

Writes results/speed/startup.csv.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import tables

OUTPUT = Path("results/speed/startup.csv")
LIMITS = {"train.py, warm caches": 3.0, "train.py, cold caches": 8.0}  # seconds of wall time
IMPORTS = {f"importing {package}": package for package in ("torch", "stable_baselines3")}
COLUMNS = ("start", "rounds", "wall", "wall_min", "wall_max", "cpu", "limit", "load", "machine")


class Start(NamedTuple):
    """What it took."""

    wall: float
    cpu: float


def start(name: str) -> Start:
    """Start once and measure.

    Raises:
        RuntimeError: if the program ends before an episode has.
    """
    with tempfile.TemporaryDirectory() as folder:
        before, begun = _children(), time.perf_counter()
        if name in IMPORTS:
            subprocess.run([sys.executable, "-c", f"import {IMPORTS[name]}"], check=True)
            wall = time.perf_counter() - begun
        else:
            wall = _until_an_episode_ended(Path(folder), begun, cold="cold" in name)
        return Start(wall, _children() - before)


def _until_an_episode_ended(folder: Path, begun: float, cold: bool) -> float:
    command = [
        sys.executable,
        "train.py",
        "--algo",
        "ppo",
        "--env",
        "CartPole-v1",
        "--log-folder",
        str(folder / "logs"),
    ]
    caches = {"NUMBA_CACHE_DIR": str(folder / "numba"), "XDG_CACHE_HOME": str(folder / "cache")} if cold else {}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | caches)
    try:
        while not any(_lines(file) > 2 for file in folder.glob("logs/ppo/*/*.monitor.csv")):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)}: ended with exit status {process.returncode}")
            time.sleep(0.01)
        return time.perf_counter() - begun
    finally:
        process.kill()
        process.wait()


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def row(name: str, starts: list[Start]) -> tables.Row:
    """Medians and range."""
    wall = [each.wall for each in starts]
    return {
        "start": name,
        "rounds": len(starts),
        "wall": statistics.median(wall),
        "wall_min": min(wall),
        "wall_max": max(wall),
        "cpu": statistics.median(each.cpu for each in starts),
        "limit": LIMITS.get(name, ""),
        "load": os.getloadavg()[0],
        "machine": tables.machine(),
    }


def main(arguments: list[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmark speed startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    starts: dict[str, list[Start]] = {name: [] for name in (*LIMITS, *IMPORTS)}
    start("train.py, warm caches")  # fills them
    for _ in range(args.rounds):
        for name in random.sample(list(starts), len(starts)):
            starts[name].append(start(name))
    rows = [row(name, measured) for name, measured in starts.items()]
    for each in rows:
        limit = f"   limit {each['limit']:g} s" if each["limit"] else ""
        print(f"{each['start']:30} {each['wall']:6.2f} s wall {each['cpu']:6.2f} s CPU{limit}")
    tables.write(args.output, COLUMNS, rows)
    return 0
