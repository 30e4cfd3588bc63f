"""python -m benchmark speed training: CPU time per environment step of training, side by side with other libraries.

Writes results/speed/training.csv (what is measured again replaces its rows), a figure and the README's table. What
other libraries' contenders need, and how their training differs, is in docs/speed.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .peers import PROJECTS, check_scripts, what_is_missing
from .tasks import CONTENDERS, TASKS

RESULTS = Path("results/speed")
SPLITTABLE = [name for name, who in CONTENDERS.items() if who.ours or who.library == "stable_baselines3"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m benchmark speed training", description=__doc__)
    on_cpu = [name for name, task in TASKS.items() if task.device == "cpu"]
    result.add_argument("--tasks", nargs="+", choices=TASKS, default=on_cpu, metavar="TASK",
                        help=f"{', '.join(TASKS)} (default: all but those on a GPU)")  # fmt: skip
    result.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        metavar="NAME",
        help=f"default: all that are installed or given; {', '.join(repr(name) for name in CONTENDERS)}",
    )
    for project in PROJECTS:
        result.add_argument(f"--{project}", type=Path, metavar="PATH", help="a checkout, for the scripts in it")
    result.add_argument("--rounds", type=int, default=5, help="turns of each contender (default: 5)")
    result.add_argument("--split", nargs="*", default=["sb3 ppo", "ppo"], choices=SPLITTABLE, metavar="NAME",
                        help="contenders whose time is taken apart (default: sb3 ppo, ppo)")  # fmt: skip
    result.add_argument("--output", type=Path, default=RESULTS, help=f"folder (default: {RESULTS})")
    return result


def contenders(args: argparse.Namespace, checkouts: dict[str, Path]) -> list[str]:
    """Who takes part: all that were named, or all that can, with a line on each that can't.

    Raises:
        ValueError: if one that was named can't.
    """
    able = []
    for name in args.contenders or CONTENDERS:
        missing = what_is_missing(name, args.tasks, checkouts)
        if missing and args.contenders:
            raise ValueError(f"{name}: not there; {missing}")
        if missing:
            print(f"left out: {name} ({missing})", flush=True)
        else:
            able.append(name)
    return able


def main(arguments: list[str]) -> int:
    """Measure, print, write."""
    commands = parser()
    args = commands.parse_args(arguments)
    checkouts = {project: path for project in PROJECTS if (path := getattr(args, project))}
    try:
        check_scripts(checkouts)
        names = contenders(args, checkouts)
    except ValueError as error:
        commands.error(str(error))
    from .report import COLUMNS, draw, draw_gpu, replace_rows, update_readme
    from .tables import read, write
    from .turns import measure, measure_split, summary

    table = args.output / "training.csv"
    for task in args.tasks:
        turns = measure(task, names, args.rounds, checkouts)
        splits = {name: measure_split(task, name, args.rounds) for name in args.split if name in turns}
        rows = summary(task, turns, splits)
        for row in rows:
            ratio = f"{row['ratio']:6.2f}x of {row['baseline']}" if row["ratio"] != "" else ""
            speed = f"{row['cpu']:9.1f} CPU-s per 1M, {1e6 / row['wall']:7.0f} steps/s"
            print(f"{task:14} {row['contender']:24} {speed} {ratio}", flush=True)
        write(table, COLUMNS, replace_rows(read(table), rows))
    draw(read(table), args.output / "training.png")
    draw_gpu(read(table), args.output / "training_gpu.png")
    if args.output == RESULTS:
        update_readme(read(table))
    return 0
