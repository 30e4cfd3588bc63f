"""Does the convolutional path learn Pong, in float32 and in bfloat16? python -m benchmark speed pong

Trains by `train.py` with the settings that a user gets, a run per precision and seed, where there is none yet; then
reads the monitor files of all runs there are. Hours each: a run in progress can be looked at with `--train` left empty.

Writes results/speed/pong.csv (mean training return of the last 100 games, every 25 games; what was not measured anew
stays in it) and a figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from . import tables

RESULTS = Path("results/speed")
ENV, STEPS = "PongNoFrameskip-v4", 2_000_000
PRECISIONS = {"fp32": [], "bf16": ["-params", "policy_kwargs:dict(precision='bf16')"]}  # arguments of train.py
WINDOW, EVERY = 100, 25  # games
COLUMNS = ("precision", "seed", "steps", "return")


def runs(precision: str, folder: Path) -> dict[int, Path]:
    """The runs in folder/precision by their seeds; of several the longest."""
    found: dict[int, Path] = {}
    for record in (folder / precision / "ppo").glob(f"{ENV}_*/run.json"):
        seed, run = json.loads(record.read_text())["config"]["seed"], record.parent
        if seed not in found or len(returns_of(run)[1]) > len(returns_of(found[seed])[1]):
            found[seed] = run
    return dict(sorted(found.items()))


def returns_of(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps [K] and returns [K] of a run's games."""
    from experiment.learning_curve import read_monitors

    return read_monitors(run.glob("*.monitor.csv"))


def train(precision: str, seed: int, folder: Path) -> None:
    """A run of train.py in folder/precision."""
    command = [sys.executable, "train.py", "--algo", "ppo", "--env", ENV, "-n", str(STEPS), "--seed", str(seed)]
    command += ["--eval-freq", "-1", "--log-folder", str(folder / precision), *PRECISIONS[precision]]
    subprocess.run(command, check=True)


def curve(precision: str, seed: int, run: Path) -> Iterator[tables.Row]:
    """Steps and mean returns of a run."""
    from experiment.learning_curve import moving_mean

    steps, returns = returns_of(run)
    if len(returns) >= WINDOW:
        for at, mean in zip(steps[WINDOW - 1 :: EVERY], moving_mean(returns, WINDOW)[::EVERY], strict=True):
            yield {"precision": precision, "seed": str(seed), "steps": int(at), "return": f"{mean:.2f}"}


def curves(rows: Sequence[tables.Row]) -> dict[tuple[str, str], list[tables.Row]]:
    """Rows by precision and seed."""
    by_run: dict[tuple[str, str], list[tables.Row]] = {}
    for row in rows:
        by_run.setdefault((row["precision"], row["seed"]), []).append(row)
    return by_run


def draw(rows: Sequence[tables.Row], path: Path) -> None:
    """A line per run."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for (precision, seed), own in curves(rows).items():
        label = f"{precision}, seed {seed}"
        axes.plot([int(row["steps"]) for row in own], [float(row["return"]) for row in own], label=label)
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xlabel("environment steps (4 frames each)")
    axes.set_ylabel(f"training return, last {WINDOW} games")
    axes.set_title(f"PPO on {ENV}")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)


def main(arguments: list[str]) -> int:
    """Train what is asked for and missing, then table and figure of all."""
    parser = argparse.ArgumentParser(prog="python -m benchmark speed pong", description=__doc__)
    parser.add_argument("--train", nargs="*", choices=PRECISIONS, default=["fp32"], help="default: fp32")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="default: 0 1")
    parser.add_argument("--folder", type=Path, default=Path("logs/pong"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    for precision in args.train:
        for seed in args.seeds:
            if seed not in runs(precision, args.folder):
                train(precision, seed, args.folder)
    found = [(precision, *run) for precision in PRECISIONS for run in runs(precision, args.folder).items()]
    rows = [row for run in found for row in curve(*run)]
    if not rows:
        print(f"{args.folder}: no run with {WINDOW} games yet")
        return 1
    measured = curves(rows)
    for (precision, seed), own in measured.items():
        above = next((row["steps"] for row in own if float(row["return"]) > 0), None)
        crossed = f"above 0 from step {above:,}" if above else "not above 0 yet"
        print(f"{precision}, seed {seed}: {own[-1]['return']} at step {own[-1]['steps']:,}; {crossed}")
    table = args.output / "pong.csv"
    earlier = curves(tables.read(table))
    rows = [row for run, own in earlier.items() if run not in measured for row in own] + rows
    tables.write(table, COLUMNS, rows)
    draw(rows, args.output / "pong.png")
    return 0
