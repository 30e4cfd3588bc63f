"""Does training collapse on a busy machine? CPU time per step with and without a busy process on each core.

`python -m benchmark speed load`: contenders take their turns in random order, each turn once alone and once beside one
process per core that multiplies matrices, which takes cores and caches. The rise is that of CPU time per step (user and
system, all threads), the median of the rounds' ratios; SB3 on one thread stands beside it.

Writes results/speed/load.csv.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import tables
from .report import replace_rows
from .tasks import TASKS
from .turns import ONE_THREAD, Turn, Worker

OUTPUT = Path("results/speed/load.csv")
CONTENDERS = ("ppo", "ppo, torch engine", "sb3 ppo")
LIMIT = 1.3
COLUMNS = ("task", "contender", "rounds", "alone", "busy", "rise", "rise_min", "rise_max", "limit", "load", "machine")
BUSY = "import numpy; a = numpy.ones((512, 512), 'f')\nwhile True: a @ a"


@contextmanager
def busy_cores() -> Iterator[None]:
    """Inside, each core has another process to run."""
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            process = subprocess.Popen([sys.executable, "-c", BUSY], env=os.environ | ONE_THREAD)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def measure(task: str, contenders: Sequence[str], rounds: int) -> list[tables.Row]:
    """A row per contender."""
    with ExitStack() as stack:
        workers = []
        for name in contenders:
            workers.append(Worker(task, name))
            stack.callback(workers[-1].close)
            workers[-1].wait()
        turns: dict[str, list[tuple[Turn, Turn]]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for worker in random.sample(workers, len(workers)):
                alone = worker.turn()
                with busy_cores():
                    turns[worker.name].append((alone, worker.turn()))
    return [row(task, name, pairs) for name, pairs in turns.items()]


def row(task: str, name: str, pairs: list[tuple[Turn, Turn]]) -> tables.Row:
    """Medians of both, and of their ratios."""
    rises = [busy.cpu / alone.cpu for alone, busy in pairs]
    return {
        "task": task,
        "contender": name,
        "rounds": len(pairs),
        "alone": statistics.median(alone.cpu for alone, _ in pairs),
        "busy": statistics.median(busy.cpu for _, busy in pairs),
        "rise": statistics.median(rises),
        "rise_min": min(rises),
        "rise_max": max(rises),
        "limit": LIMIT if name == "ppo" else "",
        "load": os.getloadavg()[0],
        "machine": tables.machine(),
    }


def main(arguments: list[str]) -> int:
    """Measure, print, write; what is not measured again keeps its rows."""
    mlp_tasks = [name for name, task in TASKS.items() if task.policy == "MlpPolicy"]
    parser = argparse.ArgumentParser(prog="python -m benchmark speed load", description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=mlp_tasks, default=mlp_tasks)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS, metavar="NAME",
                        help=f"of {', '.join(map(repr, CONTENDERS))} (default: all)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="pairs of turns (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    for task in args.tasks:
        new = measure(task, args.contenders, args.rounds)
        tables.write(args.output, COLUMNS, replace_rows(tables.read(args.output), new))
        for each in new:
            print(f"{task:14} {each['contender']:20} {each['alone']:8.1f} alone {each['busy']:8.1f} busy "
                  f"{each['rise']:5.2f}x", flush=True)  # fmt: skip
    return 0
