"""Forward and backward of log π for the Tsallis heads against `torch.log_softmax`: python -m benchmark.heads

Everything runs on one thread, and its CPU time counts, so that other processes do not. The contenders take turns in
random order, one call each, so that frequency and cache changes hit all of them alike; `microseconds` is the median of
a contender's calls, `fastest` their minimum, and the ratios are to log_softmax in the same turns. Writes
results/speed/heads.csv.

What keeps the ratio from 1: the threshold takes two or three passes (one for two actions) of a logarithm, an
exponential and a division per element where the softmax takes one exponential; below some 10^4 elements it is the
number of torch calls, about 80 of one or two microseconds. For n < 16 torch's own log_softmax is not vectorised, and
ratios fall to 1 and below.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from entmax import entmax_bisect
from torch import Tensor

from agents.geometry import Tsallis, f_log_softargmax

SHAPES = ((64, 6), (2048, 2), (2048, 6), (2048, 18), (65536, 2), (65536, 3), (65536, 4), (65536, 6), (256, 50257))
ALPHAS = (0.1, 0.5, 0.7, 0.9)
LIMITS = {(64, 6): 8.0, (2048, 2): 3.0, (2048, 18): 9.0, (256, 50257): 6.0}  # 2 elsewhere
LARGE = 1 << 20  # elements from which entmax_bisect is timed on a few rows and scaled up
COLUMNS = ("rows", "actions", "contender", "microseconds", "ratio", "fastest", "fastest_ratio", "limit", "load")

Function = Callable[[Tensor], Tensor]


def contenders() -> dict[str, Function]:
    """Name -> logits to log π; entmax_bisect gives π."""

    def tsallis(alpha: float) -> Function:
        return lambda x: f_log_softargmax(x, Tsallis(alpha))

    heads = {f"tsallis:{alpha}": tsallis(alpha) for alpha in ALPHAS}
    return {"log_softmax": lambda x: torch.log_softmax(x, -1), **heads, "entmax_bisect:1.5": entmax_bisect}


def seconds(function: Function, x: Tensor, grad: Tensor) -> float:
    """CPU time of one forward and backward."""
    x.grad = None
    start = time.thread_time()
    function(x).backward(grad)
    return time.thread_time() - start


def measure(shape: tuple[int, int], budget: float) -> dict[str, list[float]]:
    """Seconds of each contender's calls, sorted: as many turns as fit into `budget` seconds, at least four."""
    generator = torch.Generator().manual_seed(0)
    x, grad = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    rows = {name: 8 if name.startswith("entmax") and x.numel() > LARGE else len(x) for name in contenders()}
    inputs = {name: (x[:n].clone().requires_grad_(), grad[:n]) for name, n in rows.items()}
    calls: dict[str, list[float]] = {name: [] for name in rows}
    start, turn = time.perf_counter(), -1  # the turn before the first warms up
    while turn < 4 or time.perf_counter() - start < budget:
        for name, function in random.sample(list(contenders().items()), len(rows)):
            if turn % 4 == 0 or not name.startswith("entmax"):  # slow, and far off
                elapsed = seconds(function, *inputs[name]) * len(x) / rows[name]
                calls[name] += [elapsed] if turn >= 0 else []
        turn += 1
    return {name: sorted(times) for name, times in calls.items()}


def main() -> None:
    """Measure every shape, print a line for each and write the table."""
    parser = argparse.ArgumentParser(description="Speed of the f-softargmax heads against torch.log_softmax")
    parser.add_argument("--budget", type=float, default=8.0, help="seconds per shape")
    parser.add_argument("--output", type=Path, default=Path("results/speed/heads.csv"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for shape in SHAPES:
        calls = measure(shape, arguments.budget)
        fastest, median = ({name: pick(times) for name, times in calls.items()} for pick in (min, statistics.median))
        limit, load = LIMITS.get(shape, 2.0), f"{os.getloadavg()[0]:.1f}"
        worst = 0.0
        for name in calls:
            ratios = median[name] / median["log_softmax"], fastest[name] / fastest["log_softmax"]
            micro = f"{1e6 * median[name]:.1f}", f"{1e6 * fastest[name]:.1f}"
            ours = name.startswith("tsallis")
            worst = max(worst, ratios[0]) if ours else worst
            cells = (micro[0], f"{ratios[0]:.2f}", micro[1], f"{ratios[1]:.2f}", limit if ours else "", load)
            lines.append((*shape, name, *cells))
            print(f"{shape[0]:>6} x {shape[1]:<6} {name:<18} {micro[0]:>10} us {ratios[0]:8.2f}x", flush=True)
        print(f"{shape[0]:>6} x {shape[1]:<6} worst {worst:.2f}x of {limit:g}x", flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *lines])


if __name__ == "__main__":
    main()
