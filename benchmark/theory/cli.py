"""python -m benchmark theory list | run NAME ... | run all | estimate NAME ... | table"""

from __future__ import annotations

import argparse
from pathlib import Path

from agents.suggest import closest

from . import registry


def main(arguments: list[str]) -> int:
    """Run a command; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark theory", description="The papers' claims, run exactly on tabular problems."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name every experiment and say what it is about")
    run = commands.add_parser(
        "run",
        help="run experiments; each writes a table, a figure and its findings",
        description="Results made from the same settings by the same text of the experiment's file are kept.",
    )
    run.add_argument("names", nargs="+", metavar="NAME", help="an experiment, or all")
    run.add_argument("--full", action="store_true", help="the papers' scale, or a finer grid: results in FOLDER/full")
    run.add_argument("--again", action="store_true", help="also what is up to date, and all from the start")
    estimate = commands.add_parser(
        "estimate",
        help="what --full would cost, by short runs",
        description="Writes FOLDER/full/costs.json; what has been run in full keeps the cost that was measured.",
    )
    estimate.add_argument("names", nargs="+", metavar="NAME", help="an experiment, or all")
    for command in (run, estimate):
        command.add_argument(
            "--jobs", type=_positive, default=2, metavar="N", help="processes side by side (default: 2)"
        )
    table = commands.add_parser("table", help="write the findings into docs/theory.md")
    table.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    for command in (run, estimate, table):
        command.add_argument("--output", type=Path, metavar="FOLDER", help="of the results (default: results/theory)")
    chosen = parser.parse_args(arguments)
    if chosen.command == "list":
        width = max(map(len, registry.names()))
        print("\n".join(f"{name:{width}}  {registry.subject(name)}" for name in registry.names()))
        return 0
    from .results import RESULTS

    folder = chosen.output or RESULTS
    if chosen.command == "table":
        from .table import update

        return update(folder, check=chosen.check)
    known = registry.names()
    for name in chosen.names:
        if name not in (*known, "all"):
            commands.choices[chosen.command].error(
                f"unknown experiment {name!r}{closest(name, known)} (known: {', '.join(known)})"
            )
    from . import runner

    wanted = known if "all" in chosen.names else list(dict.fromkeys(chosen.names))
    if chosen.command == "estimate":
        return min(runner.estimate(wanted, folder / "full", chosen.jobs), 1)
    place = folder / "full" if chosen.full else folder
    return min(runner.run(wanted, place, chosen.jobs, chosen.full, chosen.again), 1)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be at least 1")
    return number
