"""Does the convolutional path learn Pong, in float32 and in bfloat16? python -m benchmark speed pong

Trains by `train.py` with the settings that a user gets, a run per precision, where its folder does not exist yet; then
reads the monitor files of all runs there are. Hours each: a run in progress can be looked at with `--train` left empty.

Writes results/speed/pong.csv (mean training return of the last 100 games, every 25 games; what was not measured anew
stays in it) and a figure.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import tables

RESULTS = Path("results/speed")
ENV, STEPS, SEED = "PongNoFrameskip-v4", 2_000_000, 0
PRECISIONS = {"fp32": [], "bf16": ["-params", "policy_kwargs:dict(precision='bf16')"]}  # arguments of train.py
WINDOW, EVERY = 100, 25  # games
COLUMNS = ("precision", "seed", "steps", "return")


def train(precision: str, folder: Path) -> None:
    """A run of train.py in folder/precision."""
    command = [sys.executable, "train.py", "--algo", "ppo", "--env", ENV, "-n", str(STEPS), "--seed", str(SEED)]
    command += ["--eval-freq", "-1", "--log-folder", str(folder / precision), *PRECISIONS[precision]]
    subprocess.run(command, check=True)


def curve(precision: str, folder: Path) -> Iterator[tables.Row]:
    """Steps and mean returns of the runs in folder/precision."""
    from experiment.learning_curve import moving_mean, read_monitors

    for run in sorted((folder / precision / "ppo").glob(f"{ENV}_*")):
        steps, returns = read_monitors(run.glob("*.monitor.csv"))
        if len(returns) >= WINDOW:
            for at, mean in zip(steps[WINDOW - 1 :: EVERY], moving_mean(returns, WINDOW)[::EVERY], strict=True):
                yield {"precision": precision, "seed": SEED, "steps": int(at), "return": f"{mean:.2f}"}


def draw(rows: Sequence[tables.Row], path: Path) -> None:
    """A line per precision."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for precision in dict.fromkeys(row["precision"] for row in rows):
        own = [row for row in rows if row["precision"] == precision]
        axes.plot([int(row["steps"]) for row in own], [float(row["return"]) for row in own], label=precision)
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xlabel("environment steps (4 frames each)")
    axes.set_ylabel(f"training return, last {WINDOW} games")
    axes.set_title(f"PPO on {ENV}")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main(arguments: list[str]) -> int:
    """Train what is asked for and missing, then table and figure of all."""
    parser = argparse.ArgumentParser(prog="python -m benchmark speed pong", description=__doc__)
    parser.add_argument("--train", nargs="*", choices=PRECISIONS, default=["fp32"], help="default: fp32")
    parser.add_argument("--folder", type=Path, default=Path("logs/pong"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    for precision in args.train:
        if not (args.folder / precision).exists():
            train(precision, args.folder)
    rows = [row for precision in PRECISIONS for row in curve(precision, args.folder)]
    if not rows:
        print(f"{args.folder}: no run with {WINDOW} games yet")
        return 1
    for precision in dict.fromkeys(row["precision"] for row in rows):
        own = [row for row in rows if row["precision"] == precision]
        above = next((row["steps"] for row in own if float(row["return"]) > 0), None)
        crossed = f"above 0 from step {above:,}" if above else "not above 0 yet"
        print(f"{precision}: {own[-1]['return']} at step {own[-1]['steps']:,}; {crossed}")
    table = args.output / "pong.csv"
    anew = {row["precision"] for row in rows}
    rows = [row for row in tables.read(table) if row["precision"] not in anew] + rows
    tables.write(table, COLUMNS, rows)
    draw(rows, args.output / "pong.png")
    return 0
