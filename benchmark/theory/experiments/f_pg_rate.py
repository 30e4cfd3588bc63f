"""Exact f-PG with its own regulariser converges linearly; how fast, and whether the local curvature says so.

Random MDPs from theta = 0. V* - V is quadratic in the distance to theta* = q* / coef, which has to be stationary, and
the distance (up to a constant per state) can be followed further down; twice its measured rate is compared with
2 log(1 - step m), m the slowest mode of the Hessian at the optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.geometry import KL, Tsallis
from agents.tabular import FiniteMDP, Regularizer, TabularPolicy, value_and_gradient
from agents.tabular.checks import Array

from .. import problems
from ..fits import rate
from ..local_rate import slowest_mode
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = 1.0


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Curves for each seed and generator."""
    rows, curves = [], {}
    cells = [(seed, alpha) for seed in settings["seeds"] for alpha in (*settings["alphas"], SOFTMAX)]
    for seed, alpha in track(cells):
        mdp = problems.random_mdp(**settings["mdp"], seed=seed)
        row, curves[seed, alpha] = _follow(mdp, alpha, settings)
        rows.append({"seed": seed, "alpha": alpha, **row})
    return Outcome(rows, _findings(rows), _draw(curves, settings))


def _follow(mdp: FiniteMDP, alpha: float, settings: Mapping[str, Any]) -> tuple[dict[str, Any], Array]:
    """What is measured on one MDP, and V* - V relative to the start."""
    divergence, coef, step = KL() if alpha == SOFTMAX else Tsallis(alpha), settings["coef"], settings["step"]
    policy, regularizer = TabularPolicy(divergence), Regularizer(divergence, coef)
    V, Q, probs = mdp.optimal_regularized(divergence, coef)
    _, at_optimum = value_and_gradient(mdp, policy, Q / coef, regularizer)
    values, distances = [], []
    theta, best = np.zeros(mdp.r.shape), Q / coef
    for _ in range(settings["n_updates"]):
        value, gradient = value_and_gradient(mdp, policy, theta, regularizer)
        apart = theta - best
        values.append(float(value))
        distances.append(float(np.linalg.norm(apart - apart.mean(-1, keepdims=True))))
        theta = theta + step * gradient
    low, high = settings["fit_between"]
    gaps = np.array(distances) / distances[0]
    row = {
        "gradient_at_optimum": float(np.abs(at_optimum).max()),
        "rate": 2.0 * rate(gaps, high, low) if gaps[-1] < low else float("nan"),
        "local_theory": 2.0 * float(np.log1p(-step * slowest_mode(mdp, probs, divergence, divergence, coef))),
        "monotone": int((np.diff(values) >= -1e-13 * abs(values[-1])).all()),
    }
    return row, (V @ mdp.rho - np.array(values)) / (V @ mdp.rho - values[0])


def _findings(rows: list[dict[str, Any]]) -> list[Finding]:
    stationary = max(row["gradient_at_optimum"] for row in rows)
    off = max(abs(row["rate"] / row["local_theory"] - 1.0) for row in rows)
    rates = "; ".join(
        ("softmax" if a == SOFTMAX else f"alpha={a:g}")
        + ": "
        + ", ".join(f"{row['rate']:.4f}" for row in rows if row["alpha"] == a)
        for a in dict.fromkeys(row["alpha"] for row in rows)
    )
    return [
        Finding(
            "theta* = q*/coef is stationary for f-PG with its own regulariser",
            HOLDS if stationary < 1e-9 else FAILS,
            f"largest gradient entry at q*/coef: {stationary:.1e}",
        ),
        Finding(
            "exact f-PG converges linearly to the regularised optimum",
            HOLDS if off < 0.02 else FAILS,
            f"d log(V* - V)/dt by seed: {rates}; within {100 * off:.2g} % of 2 log(1 - step m), m the slowest mode of "
            f"the Hessian at the optimum; {sum(row['monotone'] for row in rows)} of {len(rows)} runs are monotone",
        ),
    ]


def _draw(curves: Mapping[tuple[int, float], Array], settings: Mapping[str, Any]) -> Any:
    figure, axes = panels(1, width=6.5)
    for (seed, alpha), gaps in curves.items():
        color = "k" if alpha == SOFTMAX else f"C{settings['alphas'].index(alpha)}"
        label = None if seed else "softmax" if alpha == SOFTMAX else f"alpha = {alpha:g}"
        axes.plot(np.where(gaps > 1e-14, gaps, np.nan), color=color, label=label, lw=1)
    axes.set(yscale="log", xlabel="updates", ylabel="V* - V, regularised, relative to the start")
    axes.set_title(f"exact f-PG on {len(settings['seeds'])} random MDPs, coef = {settings['coef']:g}")
    legend(axes)
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, section 4",
    reduced={
        "mdp": {"n_states": 5, "n_actions": 3, "gamma": 0.9},
        "coef": 0.2,
        "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],
        "seeds": [0, 1, 2],
        "step": 4.0,
        "n_updates": 1500,
        "fit_between": [1e-11, 1e-8],
    },
    full={"seeds": [*range(20)], "coef": 0.1, "n_updates": 20000},
    run=run,
)
