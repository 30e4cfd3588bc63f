"""Lin-SPG's examples: four arms, two features, where the approximation error says nothing about convergence.

The paper's two; a pair of equal error, one good and one bad; rewards that are linear in the features, in whose order
even the best arm is first, and that are not learnt from theta = 0; and order preservation that turns out dispensable.
Final arms are those at the end of long trajectories of the gradient flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular import lin_spg_update
from agents.tabular.checks import Array
from agents.tabular.lin_spg import (
    approximation_error,
    exact_rate,
    non_domination,
    order_preserving_weights,
    violated_features,
)

from ..flow import SOFTMAX, follow, wide_starts
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track
from ._four_arms import INSTANCES, arms


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Conditions, ascent from theta = 0, and the share of wide starts that find the best arm."""
    rows, finals = [], {}
    for name in track(list(INSTANCES)):
        X, r = arms(name)
        starts = wide_starts(2, settings["radii"], settings["n_directions"], settings["seed"])
        found = follow(X, r, starts, settings["flow_steps"], settings["logit_step"])
        finals[name] = starts, found.argmax(-1)
        gaps = ascend(X, r, np.zeros((len(settings["etas"]), 2)), np.array(settings["etas"]), settings["n_updates"])
        rows.append(
            {
                "instance": name,
                "error": approximation_error(X, r),
                "order": int(order_preserving_weights(X, r) is not None),
                "features": int(not violated_features(X, r)),
                "non_domination": int(non_domination(X)),
                "exact_rate": exact_rate(X, r),
                "optimal_share": float((found[:, 0] > 0.99).mean()),
                **{f"left_eta_{eta:g}": float(gap) for eta, gap in zip(settings["etas"], gaps, strict=True)},
            }
        )
    times = {name: _times(*arms(name), arm, settings) for name, arm in (("paper 1", 0), ("paper 2", 1))}
    named = {name: _final_arms(name, settings) for name in ("paper 1", "paper 2")}
    return Outcome(rows, _findings(rows, times, named, settings), _draw(finals))


def ascend(X: Array, r: Array, theta: Array, eta: Array, n_updates: int) -> Array:
    """Suboptimality of the runs [R] after so many exact updates."""
    for _ in range(n_updates):
        theta = lin_spg_update(X, r, theta, eta)
    return SOFTMAX.probs(theta @ X.T) @ (r.max() - r)


def _times(X: Array, r: Array, arm: int, settings: Mapping[str, Any]) -> list[int]:
    """Updates from theta = (0, 2) to pi(arm) > 0.99, at the largest rate that the theorem admits and at 0.1."""
    counts = []
    for eta in (exact_rate(X, r), 0.1):
        theta, count = np.array([0.0, 2.0]), 0
        while SOFTMAX.probs(X @ theta)[arm] <= 0.99:
            theta, count = lin_spg_update(X, r, theta, eta), count + 1
        counts.append(count)
    return counts


def _final_arms(name: str, settings: Mapping[str, Any]) -> list[int]:
    """The arms, from 1 on, that the starts named in the settings lead to."""
    X, r = arms(name)
    found = follow(X, r, np.array(settings["named_starts"], np.float64), settings["flow_steps"], settings["logit_step"])
    return [int(arm) + 1 for arm in found.argmax(-1)]


def _findings(
    rows: list[dict[str, Any]],
    times: Mapping[str, list[int]],
    named: Mapping[str, list[int]],
    settings: Mapping[str, Any],
) -> list[Finding]:
    of = {row["instance"]: row for row in rows}
    last = f"left_eta_{settings['etas'][-1]:g}"
    good, bad, real = of["equal error, good"], of["equal error, bad"], of["realisable"]
    first, second, free = of["paper 1"], of["paper 2"], of["no order"]
    apart = first["optimal_share"] == 1.0 and 0.0 < second["optimal_share"] < 1.0
    split = good["optimal_share"] == 1.0 and bad[last] > 0.5
    traps = [tuple(start) for start, arm in zip(settings["named_starts"], named["paper 2"], strict=True) if arm != 1]
    return [
        Finding(
            "example 1 converges from every start, example 2 (two features swapped) does not",
            HOLDS if apart and set(named["paper 1"]) == {1} else FAILS,
            f"errors sqrt({first['error'] ** 2:.4g}) and sqrt({second['error'] ** 2:.4g}); of "
            f"{1 + len(settings['radii']) * settings['n_directions']} "
            f"wide starts {100 * first['optimal_share']:.0f} % and {100 * second['optimal_share']:.0f} % end at the "
            "best arm; example 2 "
            f"ends at arm 2 from {', '.join(f'({a:g}, {b:g})' for a, b in traps)}; from (0, 2) pi > 0.99 after "
            f"{times['paper 1'][0]} (arm 1) and {times['paper 2'][0]} (arm 2) updates at eta = 4/405, "
            f"{times['paper 1'][1]} and "
            f"{times['paper 2'][1]} at 0.1",
        ),
        Finding(
            "the approximation error does not decide about convergence",
            HOLDS if split and abs(good["error"] - bad["error"]) < 1e-9 else FAILS,
            f"error {good['error']:.12f} and {bad['error']:.12f}: suboptimality after {settings['n_updates']} "
            "updates at eta = "
            f"{settings['etas'][-1]:g} {good[last]:.2g} and {bad[last]:.6g}, optimal from "
            f"{100 * good['optimal_share']:.0f} % "
            f"and {100 * bad['optimal_share']:.0f} % of the wide starts",
        ),
        Finding(
            "zero approximation error (linear rewards) is sufficient",
            FAILS if real[last] > 0.5 and real["error"] < 1e-12 else HOLDS,
            f"X = 0.3 [(3, -5), (2, 10), (1, 0), (0, -10)], r = (3, 2, 1, 0): error {real['error']:.0e}, "
            "suboptimality from theta = 0 "
            + ", ".join(f"{real[f'left_eta_{eta:g}']:.6g} (eta {eta:g})" for eta in settings["etas"])
            + f"; {100 * real['optimal_share']:.0f} % of the wide starts are optimal. So the order of rewards, which "
            "some w keeps here, "
            "is not sufficient either",
            paper="the claim that it is: folklore; 2505.03155 denies it",
        ),
        Finding(
            "it is necessary that some w puts X w in the order of r",
            FAILS if free["order"] == 0 and free["optimal_share"] == 1.0 else HOLDS,
            "X = [(0, 1), (0.5, 0), (-1, 0), (1, 0)], r = (9, 8, 7, 6) has no such w; "
            f"{100 * free['optimal_share']:.0f} % of the wide "
            f"starts are optimal, as d theta_2 / dt = pi(1) (9 - <pi, r>) > 0 always; suboptimality {free[last]:.1g} "
            "after "
            f"{settings['n_updates']} updates from 0",
        ),
    ]


def _draw(finals: Mapping[str, tuple[Array, Array]]) -> Any:
    figure, axes = panels(3, 2, width=3.8, height=3.3)
    for one, (name, (starts, ends)) in zip(axes.flat, finals.items(), strict=True):
        for arm in range(4):
            mine = starts[ends == arm]
            if len(mine):
                one.plot(
                    *mine.T,
                    "*" if arm == 0 else "ox+"[arm - 1],
                    ms=5,
                    color=f"C{arm}",
                    label=f"arm {arm + 1}{' (best)' if not arm else ''}",
                )
        one.set_title(name, fontsize=10)
        one.set_ylim(-12, 18)
        legend(one, title="ends at", title_fontsize=8, fontsize=7, ncols=4, loc="upper center")
    for one in axes[-1]:
        one.set_xlabel("theta_1 at the start")
    for one in axes[:, 0]:
        one.set_ylabel("theta_2 at the start")
    return figure


EXPERIMENT = Experiment(
    paper="2505.03155, sections 3 and 4",
    reduced={
        "seed": 0,
        "radii": [1.0, 3.0, 10.0],
        "n_directions": 40,
        "flow_steps": 3000,
        "logit_step": 0.5,
        "etas": [0.01, 0.1, 1.0],
        "n_updates": 10000,
        "named_starts": [[0, 0], [0, 2], [6, 8], [-6, 8], [10, 3], [3, 10], [-10, 10], [-6, -8], [6, -8]],
    },
    full={"n_directions": 400, "n_updates": 1000000, "flow_steps": 40000, "logit_step": 0.05},
    run=run,
)
