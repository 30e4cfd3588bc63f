"""python -m benchmark speed training: CPU time per environment step of training, side by side with SB3.

Writes results/speed/training.csv (a task that is measured again replaces its rows), a figure and the README's table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .tasks import CONTENDERS, TASKS

RESULTS = Path("results/speed")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m benchmark speed training", description=__doc__)
    result.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    result.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        default=list(CONTENDERS),
        metavar="NAME",
        help=", ".join(f"'{name}'" for name in CONTENDERS),
    )
    result.add_argument("--rounds", type=int, default=5, help="turns of each contender (default: 5)")
    result.add_argument("--split", nargs="*", default=["sb3 ppo", "ppo"], choices=CONTENDERS, metavar="NAME",
                        help="contenders whose time is taken apart (default: sb3 ppo, ppo)")  # fmt: skip
    result.add_argument("--output", type=Path, default=RESULTS, help=f"folder (default: {RESULTS})")
    return result


def main(arguments: list[str]) -> int:
    """Measure, print, write."""
    args = parser().parse_args(arguments)
    from .report import draw, read, replace_rows, update_readme, write
    from .turns import measure, measure_split, summary

    table = args.output / "training.csv"
    for task in args.tasks:
        turns = measure(task, args.contenders, args.rounds)
        taken_apart = [name for name in args.split if name in turns and CONTENDERS[name].library != "steps"]
        splits = {name: measure_split(task, name, args.rounds) for name in taken_apart}
        rows = summary(task, turns, splits)
        for row in rows:
            ratio = f"{row['ratio']:6.2f}x" if row["ratio"] != "" else ""
            print(f"{task:14} {row['contender']:20} {row['cpu']:9.1f} CPU-s per 1M {ratio}", flush=True)
        write(table, replace_rows(read(table), rows))
    draw(read(table), args.output / "training.png")
    if args.output == RESULTS:
        update_readme(read(table))
    return 0
