"""Lin-SPG with three arms: the paper's exact condition, feature by feature, against brute force.

Random features, on a line for a fifth of the instances, else in the plane. Predicted is convergence from every start if
some w puts X w in the order of r and <x_2 - x_3, x_1 - x_3> > 0. Brute force follows the gradient flow from theta = 0,
from a ring of directions at several radii, and from C (x_3 - x_1) and C (x_2 - x_1), where the traps are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular.checks import Array
from agents.tabular.lin_spg import non_domination, order_preserving_weights, violated_features, will_converge

from ..flow import follow, wide_starts
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """One row per instance: the conditions, the verdict, and the starts that end elsewhere."""
    rng = np.random.default_rng(settings["seed"])
    rows = []
    for index in track(range(settings["instances"])):
        X = _features(rng, 1 if index % 5 == 0 else 2, settings["least_cosine"])
        r = np.sort(rng.random(3))[::-1]
        starts = np.concatenate(
            [
                wide_starts(X.shape[1], settings["radii"], settings["n_directions"], settings["seed"]),
                np.multiply.outer(settings["trap_logits"], _away(X, 2)),
                np.multiply.outer(settings["trap_logits"], _away(X, 1)),
            ]
        )
        found = follow(X, r, starts, settings["flow_steps"], settings["logit_step"])
        lost = found[:, 0] <= 0.99
        rows.append(
            {
                "n_features": X.shape[1],
                "order": int(order_preserving_weights(X, r) is not None),
                "feature_condition": int(not violated_features(X, r)),
                "non_domination": int(non_domination(X)),
                "verdict": will_converge(X, r).verdict,
                "margin": float((X[1] - X[2]) @ (X[0] - X[2])),
                "lost_starts": float(lost.mean()),
            }
        )
    return Outcome(rows, _findings(rows, settings), _draw(rows))


def _away(X: Array, arm: int) -> Array:
    """theta [d] along x_arm - x_1 at which two logits differ by 1 at most."""
    towards = X[arm] - X[0]
    return towards / np.ptp(X @ towards)


def _features(rng: np.random.Generator, n_features: int, least_cosine: float) -> Array:
    """N(0, 1) features [3, d] for which, if d > 1, some direction is clearly good for arm 1 against both others.

    Next to opposite x_1 - x_2 and x_1 - x_3 would need trajectories too long to follow.
    """
    while True:
        X = rng.standard_normal((3, n_features))
        first, second = X[0] - X[1:]
        if n_features == 1 or first @ second >= least_cosine * np.linalg.norm(first) * np.linalg.norm(second):
            return X


def _share(rows: list[dict[str, Any]]) -> str:
    return f"{sum(row['lost_starts'] > 0.0 for row in rows)} of {len(rows)}"


def _findings(rows: list[dict[str, Any]], settings: Mapping[str, Any]) -> list[Finding]:
    proved = [row for row in rows if row["verdict"] == "proved"]
    refuted = [row for row in rows if row["verdict"] == "refuted"]
    ordered = [row for row in rows if row["order"] and not row["feature_condition"]]
    unordered = [row for row in rows if not row["order"]]
    earlier = [row for row in rows if row["order"] and row["non_domination"]]
    failing = [row for row in earlier if not row["feature_condition"]]
    right = all(row["lost_starts"] == 0.0 for row in proved)
    wrong = [row for row in refuted if row["lost_starts"] == 0.0]
    margins = ", ".join(f"{row['margin']:.2g}" for row in wrong[:4])
    return [
        Finding(
            "3 arms: order preservation and <x_2 - x_3, x_1 - x_3> > 0 suffice for convergence from every start",
            HOLDS if right and proved else FAILS,
            f"instances with a start that is lost: {_share(proved)} where both hold",
        ),
        Finding(
            "3 arms: both conditions are necessary",
            HOLDS if not wrong and refuted else FAILS,
            f"instances with a start that is lost: {_share(ordered)} with order and without the feature condition, "
            f"{_share(unordered)} "
            f"without order; {len(wrong)} of {len(refuted)} refuted instances lost none"
            + (f", with margins {margins}" if wrong else ""),
        ),
        Finding(
            "order preservation and the earlier non-domination condition, <x_i, x_i> > <x_i, x_j>, suffice",
            FAILS if any(row["lost_starts"] > 0.0 for row in failing) else HOLDS,
            f"a start is lost on {_share(earlier)} instances where both hold: on {_share(failing)} of those that "
            "violate the feature "
            f"condition, on {_share([row for row in earlier if row['feature_condition']])} of the others",
            paper="2504.02130; 2505.03155 denies it",
        ),
    ]


def _draw(rows: list[dict[str, Any]]) -> Any:
    figure, axes = panels(1, width=6.0)
    for label, chosen, marker in (
        ("order kept", lambda row: row["order"], "o"),
        ("no w keeps the order", lambda row: not row["order"], "x"),
    ):
        mine = [row for row in rows if chosen(row)]
        axes.plot(
            [row["margin"] for row in mine], [100 * row["lost_starts"] for row in mine], marker, ms=4, label=label
        )
    axes.axvline(0.0, color="k", ls="--", lw=1)
    axes.set(xscale="symlog", xlabel="<x_2 - x_3, x_1 - x_3>", ylabel="starts that miss the best arm [%]")
    axes.set_title(f"{len(rows)} random instances of 3 arms, 1 or 2 features")
    legend(axes)
    return figure


EXPERIMENT = Experiment(
    paper="2505.03155, section 4",
    reduced={
        "seed": 0,
        "instances": 100,
        "radii": [1.0, 5.0],
        "n_directions": 16,
        "trap_logits": [5.0, 20.0, 60.0],
        "least_cosine": -0.9,
        "flow_steps": 4000,
        "logit_step": 0.5,
    },
    full={
        "instances": 2000,
        "n_directions": 60,
        "trap_logits": [5.0, 20.0, 60.0, 200.0],
        "flow_steps": 50000,
        "logit_step": 0.1,
    },
    run=run,
)
