"""CPU time of a step by each backend, beside the bare simulator and SB3: python -m benchmark speed stepping

Each round gives every contender of a task its turn, in random order, so that changes of frequency, cache and load hit
all alike. CPU time counts (user and system, all threads of this process), so other processes take no turn but still
spoil caches. Microseconds are per step of ONE environment, medians over the rounds; ratios are medians of the rounds'
ratios to `bare`: the simulator alone, without resets in the same step, records, noise or normalisation.

Writes results/speed/envs.csv, from which `auto` was chosen (a test compares), and the table in docs/environments.md.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from . import tables
from .stepping_bare import BARE, SB3, Step

OUTPUT, PAGE = Path("results/speed/envs.csv"), Path("docs/environments.md")
MARKERS = "<!-- stepping:begin -->\n", "<!-- stepping:end -->\n"
COLUMNS = ("env", "n_envs", "contender", "microseconds", "ratio", "limit", "rounds", "load")
LIMITS = {
    ("CartPole-v1", 8, "native, reward noise"): 1.3,
    ("HalfCheetah-v5", 1, "inprocess, normalised"): 1.7,
    ("HalfCheetah-v5", 8, "inprocess, normalised"): 1.3,
    ("ALE/Pong-v5", 8, "ale"): 1.1,
}


@dataclass(frozen=True)
class Task:
    """An id, numbers of environments, and the contenders: name -> arguments of `make_vec`."""

    env_id: str
    sizes: tuple[int, ...]
    contenders: dict[str, dict[str, Any]]


TASKS = (
    Task(
        "CartPole-v1",
        (1, 2, 3, 4, 8, 64),
        {
            "native": {"backend": "native"},
            "native, reward noise": {"backend": "native", "reward_noise": 0.5},
            "native, normalised": {"backend": "native", "normalize": True},
            "inprocess": {"backend": "inprocess"},
            "envpool": {"backend": "envpool"},
        },
    ),
    *(
        Task(
            env_id,
            (1, 8),
            {
                "inprocess": {"backend": "inprocess"},
                "inprocess, normalised": {"backend": "inprocess", "normalize": True},
                "envpool": {"backend": "envpool"},
            },
        )
        for env_id in ("HalfCheetah-v5", "Hopper-v5")
    ),
    Task("NChain-v0", (8,), {"inprocess": {"backend": "inprocess"}}),
    Task(
        "ALE/Pong-v5",
        (1, 8),
        {"ale": {"backend": "ale"}, "inprocess": {"backend": "inprocess"}, "envpool": {"backend": "envpool"}},
    ),
)


def contenders(task: Task, n_envs: int) -> Iterator[tuple[str, Step]]:
    """Name and step function of each one that can be built here; a line about the others."""
    builders: dict[str, Callable[[], Step]] = {"bare": partial(BARE[task.env_id], n_envs)}
    for name, arguments in task.contenders.items():
        builders[name] = partial(our_step, task.env_id, n_envs, **arguments)
    for name, theirs in SB3[task.env_id].items():
        builders[name] = partial(theirs, n_envs)
    for name, build in builders.items():
        try:
            yield name, build()
        except (ImportError, ValueError) as error:
            print(f"{task.env_id} x {n_envs}: without {name}: {error}")


def our_step(env_id: str, n_envs: int, **arguments: Any) -> Step:
    """The array step of `make_vec`."""
    from envs import make_vec

    venv = make_vec(env_id, n_envs, 0, **arguments)
    venv.reset()
    return venv.step_arrays  # type: ignore[attr-defined]


def actions_for(env_id: str, n_envs: int, steps: int) -> np.ndarray:
    """Random actions [T, N, ...]."""
    import envs  # registers ours

    space = envs.make_vec(env_id, 1, 0, "inprocess").action_space
    rng = np.random.default_rng(0)
    if isinstance(space, gymnasium.spaces.Box):
        return rng.uniform(space.low, space.high, (steps, n_envs, *space.shape)).astype(np.float32)
    assert isinstance(space, gymnasium.spaces.Discrete)
    return rng.integers(0, space.n, (steps, n_envs))


def cpu_seconds(step: Step, actions: np.ndarray) -> float:
    """Of one step after the other."""
    start = time.process_time()
    for row in actions:
        step(row)
    return time.process_time() - start


def measure(task: Task, n_envs: int, rounds: int, seconds: float) -> list[tables.Row]:
    """One row of the csv per contender; a turn takes `bare` about `seconds`."""
    steps = dict(contenders(task, n_envs))
    actions = actions_for(task.env_id, n_envs, 50_000 // n_envs)
    warm_up = actions[:20]
    for step in steps.values():
        cpu_seconds(step, warm_up)
    turn = int(np.clip(seconds * len(warm_up) / cpu_seconds(steps["bare"], warm_up), 40, len(actions)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name in random.sample(list(steps), len(steps)):
            times[name].append(1e6 * cpu_seconds(steps[name], actions[:turn]) / turn / n_envs)
    rows: list[tables.Row] = []
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, times["bare"], strict=True))
        limit = LIMITS.get((task.env_id, n_envs, name), "")
        load = f"{os.getloadavg()[0]:.1f}"
        micro = f"{statistics.median(values):.2f}"
        cells = task.env_id, n_envs, name, micro, f"{ratio:.2f}", limit, rounds, load
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
        verdict = f"   limit {limit:g}" if limit else ""
        print(f"{task.env_id:<15}{n_envs:>4}  {name:<34}{micro:>9} us {ratio:6.2f}x{verdict}", flush=True)
    return rows


def table(rows: list[tables.Row]) -> str:
    """The rows of the csv as Markdown: contenders down, numbers of environments across."""
    sizes = sorted({int(row["n_envs"]) for row in rows})
    heads = [f"{size} env{'s' * (size > 1)}" for size in sizes]
    lines = ["| environment | stepped by | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(sizes)]
    for env_id, group in groupby(rows, key=lambda row: row["env"]):
        cells: dict[str, dict[int, str]] = {}
        for row in group:
            cells.setdefault(row["contender"], {})[int(row["n_envs"])] = f"{row['microseconds']} ({row['ratio']})"
        for name, by_size in cells.items():
            lines.append(f"| {env_id} | {name} | " + " | ".join(by_size.get(size, "") for size in sizes) + " |")
    return "\n".join(lines) + "\n"


def write_table(rows: list[tables.Row], page: Path) -> None:
    """Put the table between the markers of a document."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(MARKERS[0])
    after = rest.split(MARKERS[1])[1]
    rounds, load = min(int(row["rounds"]) for row in rows), max(float(row["load"]) for row in rows)
    note = f"""CPU microseconds per step of one environment (user + system, one thread), median of {rounds} or more
interleaved rounds on a machine with a load of up to {load:.0f}, which makes the ratios surer than the times. In
parentheses: times what the bare simulator takes (Gymnasium's vector environment, MuJoCo's `mj_step`, ALE's
`AtariVectorEnv`, or a loop over `gymnasium.make`). Normalisation is of observations and rewards. By
`python -m benchmark speed stepping`.

"""
    page.write_text(before + MARKERS[0] + note + table(rows) + MARKERS[1] + after, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Measure all tasks, write the csv and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmark speed stepping", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds per task (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.1, help="CPU time of a turn (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--page", type=Path, default=PAGE, help="the document whose table is rewritten")
    ids = [task.env_id for task in TASKS]
    parser.add_argument("--env", nargs="*", default=ids, choices=ids, help="measure these again; none: only the table")
    args = parser.parse_args(arguments)
    rows = tables.read(args.output)
    for task in TASKS:
        if task.env_id in args.env:
            rows = [row for row in rows if row["env"] != task.env_id]
            for n_envs in task.sizes:
                rows += measure(task, n_envs, args.rounds, args.seconds)
    rows.sort(key=lambda row: ids.index(row["env"]))
    tables.write(args.output, COLUMNS, rows)
    write_table(tables.read(args.output), args.page)
    return 0
