"""One experiment in a process of its own: python -m benchmark.theory.worker NAME FOLDER [--full]

Says on standard output how far it is, a line "done total" after each step.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import registry, results
from .registry import Item


def track(items: Sequence[Item]) -> Iterable[Item]:
    """The items; says after each how many are done."""
    for done, item in enumerate(items, start=1):
        yield item
        print(done, len(items), flush=True)


def main() -> None:
    """Run the experiment and write its files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    experiment = registry.load(arguments.name)
    made_by = results.origin(arguments.name, arguments.full)
    outcome = experiment.run(experiment.settings(arguments.full), track)
    results.write(arguments.name, arguments.folder, made_by, outcome)


if __name__ == "__main__":
    main()
