"""Exact f-PG on NChain and DeepSea: updates to 90 % and 99 % of V* by alpha, coefficient, size and start.

The best of a grid of steps counts. Starts are theta = 0, a logit gap of 10 towards the wrong action (left) in every
state, or pi(right) = 0.01 in every state; the start distribution is uniform over states, or the problem's own state.
What is measured is the value without the regulariser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np

from agents.geometry import KL, Divergence, Tsallis
from agents.tabular import FiniteMDP, TabularPolicy, f_pg, value
from agents.tabular.checks import Array
from agents.tabular.operators import f_prime_of

from .. import problems
from ..iterate import hitting_times
from ..plots import legend, panels
from ..registry import CONDITION, FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX, RIGHT = 1.0, 1
STARTS = {"zero": "theta = 0", "logits": "logit gap 10", "policy": "pi(right) = 0.01"}
PROBLEMS: dict[str, Callable[..., FiniteMDP]] = {"NChain": problems.nchain, "DeepSea": problems.deep_sea}

Cell = tuple[str, int, str, str]  # problem, size, start distribution, start


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Updates for every cell, alpha, coefficient and step."""
    rows = []
    cells = [(tuple(cell), alpha) for cell in settings["cells"] for alpha in (SOFTMAX, *settings["alphas"])]
    for (name, size, where, start), alpha in track(cells):
        mdp = PROBLEMS[name](size, settings["gamma"], uniform_start=where == "uniform")
        divergence = KL() if alpha == SOFTMAX else Tsallis(alpha)
        grid = list(product(settings["coefs"], settings["steps"]))
        times = _times(mdp, divergence, start, np.array(grid), settings["n_updates"])
        rows += [
            {"problem": name, "size": size, "from": where, "start": start, "alpha": alpha, "coef": coef, "step": step}
            | {"to_90": float(to_90), "to_99": float(to_99)}
            for (coef, step), (to_90, to_99) in zip(grid, times, strict=True)
        ]
    return Outcome(rows, _findings(settings, rows), _draw(settings, rows))


def _times(mdp: FiniteMDP, divergence: Divergence, start: str, grid: Array, n_updates: int) -> Array:
    """Updates to 90 % and 99 % of V*(rho) for each (coef, step) of a grid [R, 2]: [R, 2]."""
    policy, (coefs, steps) = TabularPolicy(divergence), grid.T
    best = float(mdp.optimal()[0] @ mdp.rho)
    wrong = {"zero": 0.0, "logits": 10.0, "policy": float(-np.diff(f_prime_of(np.array([0.99, 0.01]), divergence))[0])}
    theta = np.zeros((len(grid), *mdp.r.shape))
    theta[..., RIGHT] = -wrong[start]
    return hitting_times(
        lambda theta, runs: f_pg(mdp, theta, divergence, coefs[runs], steps[runs]),
        lambda theta: -value(mdp, policy, theta),
        theta,
        [-0.9 * best, -0.99 * best],
        n_updates,
    )


def _best(rows: list[dict[str, Any]], cell: Cell, alpha: float, goal: str, coef: float | None = None) -> float:
    """Fewest updates over the steps, and over the coefficients unless one is given."""
    mine = [row for row in rows if (row["problem"], row["size"], row["from"], row["start"]) == cell]
    return min(row[goal] for row in mine if row["alpha"] == alpha and coef in (None, row["coef"]))


def _findings(settings: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    cells: list[Cell] = [tuple(cell) for cell in settings["cells"]]
    anywhere, alone = ([cell for cell in cells if cell[2] == where] for where in ("uniform", "start"))
    alphas = settings["alphas"]
    ahead, told = {}, []
    for cell in anywhere:
        softmax = _best(rows, cell, SOFTMAX, "to_90")
        tsallis, alpha = min((_best(rows, cell, alpha, "to_90"), alpha) for alpha in alphas)
        ahead[cell] = tsallis < softmax
        told.append(f"{_title(cell)}: {_count(softmax)} against {_count(tsallis)} (alpha={alpha:g})")
    where = [STARTS[start] for start in STARTS if all(ahead[cell] for cell in anywhere if cell[3] == start)]
    verdict = HOLDS if all(ahead.values()) else f"{CONDITION}starts from {', '.join(where)}" if where else FAILS
    zero = [cell for cell in anywhere if cell[3] == "zero"]
    last = {cell: [_best(rows, cell, alpha, "to_99", 0.0) for alpha in (SOFTMAX, *alphas)] for cell in zero}
    families = (SOFTMAX, *alphas)
    lone = {
        coef: [_best(rows, cell, alpha, "to_90", coef) for cell in alone for alpha in families]
        for coef in settings["coefs"]
    }
    solved = {coef: int(np.isfinite(times).sum()) for coef, times in lone.items()}
    return [
        Finding(
            "f-PG with alpha < 1 solves NChain and DeepSea in fewer updates than softmax policy gradient",
            verdict,
            "updates to 90 % of V*, softmax against the best alpha (best step and coefficient): " + "; ".join(told),
        ),
        Finding(
            "heavier tails have a price: from theta = 0 and without regulariser softmax is first at 99 % of V*",
            HOLDS if all(times[0] <= min(times) for times in last.values()) else FAILS,
            f"updates to 99 % for softmax, alpha = {', '.join(f'{a:g}' for a in alphas)}: "
            + "; ".join(f"{_title(cell)}: {', '.join(map(_count, times))}" for cell, times in last.items()),
            paper="own claim",
        ),
        Finding(
            "where only the start state counts and the policy avoids the goal, regularisation is what finds it",
            HOLDS if solved[0.0] == 0 and any(solved.values()) else FAILS,
            "solved (90 %) with some step, of "
            + f"{len(alone) * len(families)} pairs of problem and alpha: "
            + ", ".join(f"{n} with coef = {coef:g}" for coef, n in solved.items()),
            paper="own claim",
        ),
    ]


def _count(time: float) -> str:
    return f"{time:.0f}" if np.isfinite(time) else "never"


def _title(cell: Cell) -> str:
    name, size, where, start = cell
    return f"{name}-{size}, {STARTS[start]}" + ("" if where == "uniform" else ", from the start state alone")


def _draw(settings: Mapping[str, Any], rows: list[dict[str, Any]]) -> Any:
    cells: list[Cell] = [tuple(cell) for cell in settings["cells"]]
    columns = 5
    figure, axes = panels(columns, -(-len(cells) // columns), width=3.5, height=3.1)
    alphas, never = (*settings["alphas"], SOFTMAX), 2.0 * settings["n_updates"]
    for one, cell in zip(axes.flat, cells, strict=False):
        for i, coef in enumerate(settings["coefs"]):
            for goal, style in (("to_90", "o-"), ("to_99", "s:")):
                times = np.array([_best(rows, cell, alpha, goal, coef) for alpha in alphas])
                shown = np.minimum(np.maximum(times, 1.0), never)
                one.plot(alphas, shown, style, ms=4, color=f"C{i}", label=f"{goal[3:]} %, coef = {coef:g}")
        one.axhspan(0.8 * never, 1.25 * never, color="0.85", zorder=0)
        one.text(1.0, never, " never", va="center", fontsize=7, transform=one.get_yaxis_transform())
        one.set(yscale="log", ylim=(0.8, 1.25 * never), xlabel="alpha (1: softmax)", ylabel="updates, best step")
        one.set_title(_title(cell).replace("from the start state alone", "start state"), fontsize=9)
    for one in list(axes.flat)[len(cells) :]:
        one.set_visible(False)
    legend(axes[0, 0], fontsize=7)
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, section 5",
    reduced={
        "cells": [
            *([name, size, "uniform", start] for name, size in (("NChain", 20), ("DeepSea", 10)) for start in STARTS),
            *(["NChain", size, "start", start] for size in (5, 10) for start in ("logits", "policy")),
        ],
        "gamma": 0.99,
        "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],
        "coefs": [0.0, 0.01],
        "steps": [1.0, 10.0, 100.0, 1000.0],
        "n_updates": 600,
    },
    full={
        "cells": [
            [name, size, where, start]
            for name, sizes in (("NChain", (10, 15, 20)), ("DeepSea", (10, 15)))
            for size in sizes
            for where in ("uniform", "start")
            for start in STARTS
        ],
        "coefs": [0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0],
        "steps": [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0],
        "n_updates": 20000,
    },
    run=run,
)
