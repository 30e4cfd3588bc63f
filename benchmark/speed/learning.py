"""Is it the same learning? Returns by engine over several seeds: python -m benchmark speed learning

Trains PPO by the fused engine, by the torch engine and by SB3 with equal settings and writes one row per run, as it
ends, to results/speed/learning.csv (a run that stands there is not made again), then a figure beside it with 95 %
intervals of the mean (Student's t over seeds). The score is the mean training return of the last 100 episodes.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from . import tables
from .tables import Row
from .tasks import TASKS, Task
from .worker import our_environment, sb3_environment

RESULTS = Path("results/speed")
ENGINES = ("fused", "torch", "sb3")
RUNS = {"cartpole-32": (100_000, 10), "cheetah-1": (300_000, 5)}  # task -> steps, seeds
COLUMNS = ("task", "engine", "seed", "steps", "return")


def run(task: str, engine: str, seed: int, steps: int) -> Row:
    """Train once."""
    import numpy as np
    import stable_baselines3
    import torch

    import agents

    torch.set_num_threads(1)
    settings: Task = TASKS[task]
    options: dict[str, Any] = dict(settings.settings) | {"seed": seed, "device": "cpu"}
    if task.startswith("cartpole"):
        options |= {"learning_rate": lambda left: 1e-3 * left, "clip_range": lambda left: 0.2 * left}
    if engine == "sb3":
        env = sb3_environment(settings, seed)
        model: Any = stable_baselines3.PPO(settings.policy, env, **options)
    else:
        model = agents.PPO(settings.policy, our_environment(settings, seed), engine=engine, **options)
    model.learn(steps)
    score = float(np.mean([episode["r"] for episode in model.ep_info_buffer]))
    return {"task": task, "engine": engine, "seed": seed, "steps": steps, "return": f"{score:.2f}"}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return statistics.fmean(values), math.nan
    return statistics.fmean(values), float(t.ppf(0.975, n - 1)) * statistics.stdev(values) / math.sqrt(n)


def draw(rows: Sequence[Row], path: Path) -> None:
    """A point per run, mean and interval per engine, a panel per task."""
    from matplotlib.figure import Figure

    tasks = [task for task in RUNS if any(row["task"] == task for row in rows)]
    figure = Figure(figsize=(4.2 * len(tasks), 3.6), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for place, engine in enumerate(ENGINES):
            values = [float(row["return"]) for row in rows if (row["task"], row["engine"]) == (task, engine)]
            if not values:
                continue
            mean, half = interval(values)
            axes.plot([place - 0.12] * len(values), values, "o", alpha=0.5, color=f"C{place}")
            axes.errorbar([place + 0.12], [mean], [half], fmt="s", capsize=4, color=f"C{place}")
        axes.set_xticks(range(len(ENGINES)), ENGINES)
        axes.set_xlim(-0.5, len(ENGINES) - 0.5)
        axes.set_title(f"{TASKS[task].env}, {RUNS[task][0]:,} steps")
        axes.set_ylabel("training return, last 100 episodes")
    figure.savefig(path, dpi=120)


def main(arguments: list[str]) -> int:
    """Make the runs that are missing, print means and intervals, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmark speed learning", description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args(arguments)
    table = RESULTS / "learning.csv"
    done = tables.read(table)
    there = {(row["task"], row["engine"], int(row["seed"])) for row in done}
    wanted = [
        (task, engine, seed, RUNS[task][0])
        for task, engine in product(args.tasks, args.engines)
        for seed in range(RUNS[task][1])
        if (task, engine, seed) not in there
    ]
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, *one) for one in wanted]):
            done.append(future.result())
            ordered = sorted(done, key=lambda row: (row["task"], row["engine"], int(row["seed"])))
            tables.write(table, COLUMNS, ordered)
    for task, engine in product(RUNS, ENGINES):
        values = [float(row["return"]) for row in done if (row["task"], row["engine"]) == (task, engine)]
        if values:
            mean, half = interval(values)
            print(f"{task:12} {engine:6} {mean:8.1f} +- {half:.1f} ({len(values)} seeds, lowest {min(values):.1f})")
    draw(done, RESULTS / "learning.png")
    return 0
