"""One experiment in a process of its own: python -m benchmark.theory.worker NAME FOLDER [--full] [--again] [--probe]

Says on standard output how far it is, a line "done total" after each step, and at last what it cost: a line "cost
SECONDS MEGABYTES", processor time and the most memory. --again forgets what an interrupted run left. A probe (see
`scale`) writes nothing.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

from . import registry, results, scale
from .cells import Cells, say


def main() -> None:
    """Run the experiment and write its files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--probe", action="store_true")
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    if arguments.probe:
        _tell(scale.probe(arguments.name, say))
        return
    experiment = registry.load(arguments.name)
    made_by = results.origin(arguments.name, arguments.full)
    cells = Cells(arguments.name, arguments.folder, made_by)
    if arguments.again:
        cells.clear()
    with cells.resumable():
        outcome = experiment.run(experiment.settings(arguments.full), say)
    results.write(arguments.name, arguments.folder, made_by, outcome)
    cells.clear()
    _tell(time.process_time() + cells.seconds)


def _tell(seconds: float) -> None:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("cost", round(seconds, 1), most // (2**20 if sys.platform == "darwin" else 2**10), flush=True)


if __name__ == "__main__":
    main()
