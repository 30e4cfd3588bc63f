"""Four arms that refute the pairwise feature condition: two bad arms together push the best one out of reach.

x_1 = (a, 0, 1), x_2 = 0, x_3 = (p, 1, 0), x_4 = (p, -1, 0). Near the vertex of arm 2 the worse arms 3 and 4 die out as
1 / t; what they do to theta lets arm 1 decay as t^-c, c = <w, G_1> with w = G^-1 (1, 1), G the Gram matrix of x_3 and
x_4, G_1 their products with x_1: c = 2 a p / (2 p^2) = a / p. Arm 2 is a trap for c > 1. Each of the two alone would
give c = a p / (1 + p^2) only, which the pairwise condition bounds by 1; order preservation holds as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular import lin_spg_update
from agents.tabular.checks import Array
from agents.tabular.lin_spg import order_preserving_weights, violated_features

from ..fits import slope
from ..flow import SOFTMAX, follow
from ..iterate import curve
from ..plots import legend, panels, thinned
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Where the flow ends by a, and the powers of t in exact updates."""
    r, p = np.array(settings["means"]), settings["p"]
    rows, curves = [], {}
    for a in track(settings["a"]):
        X = features(a, p)
        start = settings["start"] * np.array([-1.0, 0.0, -1.0])
        end = follow(X, r, start[None], settings["flow_steps"], settings["logit_step"])[0]
        curves[a] = logs = _log_probs(X, r, start, settings["eta"], settings["n_updates"])
        late = np.unique(np.geomspace(settings["n_updates"] // 10, settings["n_updates"], 200).astype(int))
        best, worse = (slope(np.log(late), logs[late, arm]) for arm in (0, 2))
        rows.append(
            {
                "a": a,
                "order": int(order_preserving_weights(X, r) is not None),
                "pairs_hold": int(not violated_features(X, r)),
                "c": a / p,
                "power_best": best,
                "power_worse": worse,
                "final_arm": int(end.argmax()) + 1,
            }
        )
    return Outcome(rows, _findings(rows, settings), _draw(curves, settings))


def _log_probs(X: Array, r: Array, start: Array, eta: float, n_updates: int) -> Array:
    """log pi [T + 1, K] along exact updates."""
    return curve(
        lambda theta: lin_spg_update(X, r, theta, eta), lambda theta: SOFTMAX.log_probs(X @ theta), start, n_updates
    )[0]


def features(a: float, p: float) -> Array:
    """X [4, 3]."""
    return np.array([[a, 0.0, 1.0], [0.0, 0.0, 0.0], [p, 1.0, 0.0], [p, -1.0, 0.0]])


def _findings(rows: list[dict[str, Any]], settings: Mapping[str, Any]) -> list[Finding]:
    refuting = [row for row in rows if row["order"] and row["pairs_hold"] and row["final_arm"] != 1]
    as_predicted = all((row["final_arm"] != 1) == (row["c"] > 1.0) for row in rows)
    trapped = [row for row in rows if row["c"] > 1.0]
    off = max(abs(row["power_best"] / (-row["c"] * -row["power_worse"]) - 1.0) for row in trapped)
    return [
        Finding(
            "4 arms: order preservation and <x_j - x_k, x_1 - x_k> > 0 for 1 < j < k suffice",
            FAILS if refuting else HOLDS,
            f"x = (a, 0, 1), 0, (p, 1, 0), (p, -1, 0), p = {settings['p']:g}, r = {tuple(settings['means'])}: both "
            "hold for a = "
            + ", ".join(f"{row['a']:g}" for row in rows if row["order"] and row["pairs_hold"])
            + "; from theta = "
            + f"{settings['start']:g} (-1, 0, -1) arm 2 is the end for a = "
            + ", ".join(f"{row['a']:g}" for row in refuting),
            paper="conjecture; 2505.03155 has it for K = 3",
        ),
        Finding(
            "arm 2 is a trap exactly if c = a / p > 1: arm 1 dies out as the c-th power of arms 3 and 4",
            HOLDS if as_predicted and off <= 0.02 else FAILS,
            "powers of t of arm 1 and arm 3 (c): "
            + "; ".join(f"{row['power_best']:.3f}, {row['power_worse']:.3f} ({row['c']:g})" for row in trapped)
            + f", within {100 * off:.2g} % of it; the flow ends at the best arm for c = "
            + ", ".join(f"{row['c']:g}" for row in rows if row["final_arm"] == 1),
            paper="own derivation",
        ),
    ]


def _draw(curves: Mapping[float, Array], settings: Mapping[str, Any]) -> Any:
    figure, axes = panels(1, width=6.0)
    for color, (a, logs) in enumerate(curves.items()):
        label = f"arm 1, a = {a:g}, c = {a / settings['p']:g}"
        axes.plot(*thinned(np.exp(logs[1:, 0])), f"C{color}", label=label)
    axes.plot(*thinned(np.exp(logs[1:, 2])), "k--", label="arm 3, any a")
    axes.set(xscale="log", yscale="log", xlabel=f"updates, eta = {settings['eta']:g}", ylabel="probability of the arm")
    axes.set_title("arm 1 is the best; trapped at arm 2 if c > 1")
    legend(axes)
    return figure


EXPERIMENT = Experiment(
    paper="2505.03155, section 4",
    reduced={
        "means": [4.0, 3.0, 2.0, 1.0],
        "p": 0.25,
        "a": [0.1, 0.2, 0.5, 1.0],
        "start": 8.0,
        "eta": 1.0,
        "n_updates": 20000,
        "flow_steps": 5000,
        "logit_step": 0.5,
    },
    full={"a": [0.05, 0.1, 0.15, 0.2, 0.24, 0.26, 0.3, 0.5, 1.0, 2.0], "n_updates": 1000000, "flow_steps": 200000},
    run=run,
)
