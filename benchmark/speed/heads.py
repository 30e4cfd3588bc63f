"""Forward and backward of log π for the Tsallis heads against `torch.log_softmax`: python -m benchmark speed heads

Everything runs on one thread, and its CPU time counts, so that other processes do not. The contenders take turns in
random order, one call each, so that frequency and cache changes hit all of them alike; `microseconds` is the median of
a contender's calls, `fastest` their minimum, `ratio` is to log_softmax and `speedup` over entmax_bisect in the same
turns. `tsallis:<alpha>` runs the Numba kernels where Numba is installed, `... torch` the torch code. Writes
results/speed/heads.csv.

What keeps the kernels' ratio from 1: at [64, 6] a Python autograd function, where log_softmax has one in C++; at 18
actions and more the threshold, which takes two or three passes of a logarithm, an exponential and a division per
element where the softmax takes one exponential. For n < 16 torch's own log_softmax is not vectorised over the rows as
the kernels are, and ratios fall well below 1. What keeps the torch code's: in small batches some 80 calls of one or two
microseconds, in large ones the memory traffic of as many passes.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from entmax import entmax_bisect
from torch import Tensor

from agents.geometry import Tsallis, f_log_softargmax, use_kernels

SHAPES = ((64, 6), (2048, 2), (2048, 6), (2048, 18), (65536, 2), (65536, 3), (65536, 4), (65536, 6), (256, 50257))
ALPHAS = (0.1, 0.5, 0.7, 0.9)
LIMITS = {(64, 6): 8.0, (2048, 2): 3.0, (2048, 18): 9.0, (256, 50257): 6.0}  # 2 elsewhere
LARGE = 1 << 20  # elements from which entmax_bisect is timed on a few rows and scaled up
BISECTION, TORCH = "entmax_bisect:1.5", " torch"
COLUMNS = (
    *("rows", "actions", "contender", "microseconds", "ratio", "speedup"),
    *("fastest", "fastest_ratio", "fastest_speedup", "limit", "load"),
)

Function = Callable[[Tensor], Tensor]


def contenders() -> dict[str, Function]:
    """Name -> logits to log π; entmax_bisect gives π."""

    heads = {f"tsallis:{alpha}": partial(f_log_softargmax, divergence=Tsallis(alpha)) for alpha in ALPHAS}
    in_torch = {f"{name}{TORCH}": head for name, head in heads.items()}
    return {"log_softmax": partial(torch.log_softmax, dim=-1), **heads, **in_torch, BISECTION: entmax_bisect}


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
                with use_kernels(not name.endswith(TORCH)):
                    elapsed = seconds(function, *inputs[name]) * len(x) / rows[name]
                calls[name] += [elapsed] if turn >= 0 else []
        turn += 1
    return {name: sorted(times) for name, times in calls.items()}


def main(arguments: list[str]) -> int:
    """Measure every shape, print a line for each and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmark speed heads", description=__doc__)
    parser.add_argument("--budget", type=float, default=8.0, help="seconds per shape")
    parser.add_argument("--output", type=Path, default=Path("results/speed/heads.csv"))
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lines = []
    for shape in SHAPES:
        calls = measure(shape, args.budget)
        fastest, median = ({name: pick(times) for name, times in calls.items()} for pick in (min, statistics.median))
        limit, load = LIMITS.get(shape, 2.0), f"{os.getloadavg()[0]:.1f}"
        heads = [name for name in calls if name.startswith("tsallis")]
        for name in calls:
            cells = []
            for times in (median, fastest):
                ratio, speedup = times[name] / times["log_softmax"], times[BISECTION] / times[name]
                cells += [f"{1e6 * times[name]:.1f}", f"{ratio:.2f}", f"{speedup:.1f}"]
            lines.append((*shape, name, *cells, limit if name in heads else "", load))
            line = f"{shape[0]:>6} x {shape[1]:<6} {name:<18} {cells[0]:>10} us {cells[1]:>8}x {cells[2]:>8}x faster"
            print(line, flush=True)
        worst = max(median[f"tsallis:{alpha}"] for alpha in ALPHAS)
        summary = f"worst {worst / median['log_softmax']:.2f}x of {limit:g}x, {median[BISECTION] / worst:.0f}x faster"
        print(f"{shape[0]:>6} x {shape[1]:<6} {summary} than bisection", flush=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with args.output.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *lines])
    return 0
