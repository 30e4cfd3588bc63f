"""Lin-SPG with 10 to 20 arms and 10 to 50 features: the conjectured condition, searched for counterexamples.

Random features. Conjecture: order preservation and <x_j - x_k, x_1 - x_k> > 0 for all 1 < j < k suffice for convergence
from every start. Stronger: <x_i - x_j, x_1 - x_k> >= 0 for all i < j <= k. Starts are wide, and adversarial: near the
vertex of each arm k with the worst arm on top. Trajectories of the gradient flow are followed, a few of those that are
not through a good deal longer; the approximation error of each instance is set against what happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular.checks import Array
from agents.tabular.lin_spg import approximation_error, order_preserving_weights, violated_features

from ..flow import follow, wide_starts
from ..plots import legend, panels
from ..registry import CONDITION, FAILS, HOLDS, Experiment, Finding, Outcome, Track


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """One row per instance: conditions, error, and the starts that end elsewhere."""
    rng = np.random.default_rng(settings["seed"])
    rows = []
    for n_arms, n_features, kind in track(
        [(k, d, kind) for k, d in settings["sizes"] for kind in settings["kinds"] for _ in range(settings["instances"])]
    ):
        r = np.sort(rng.random(n_arms))[::-1]
        X = _features(kind, n_arms, n_features, rng)
        starts = np.concatenate(
            [
                wide_starts(n_features, settings["radii"], settings["n_directions"], settings["seed"]),
                _near_vertices(X, settings["ahead"]),
            ]
        )
        found = follow(X, r, starts, settings["flow_steps"], settings["logit_step"])
        lost = found[:, 0] <= 0.99
        longer = follow(
            X,
            r,
            starts[lost][:: max(1, lost.sum() // settings["confirmed"])],
            settings["long_steps"],
            settings["logit_step"],
        )
        pairs = (n_arms - 1) * (n_arms - 2) / 2
        rows.append(
            {
                "n_arms": n_arms,
                "n_features": n_features,
                "kind": kind,
                "order": int(order_preserving_weights(X, r) is not None),
                "violated_share": len(violated_features(X, r)) / pairs,
                "triples": int(_triples_hold(X)),
                "error": approximation_error(X, r),
                "lost_starts": float(lost.mean()),
                "lost_for_good": int((longer[:, 0] <= 0.99).sum()),
            }
        )
    return Outcome(rows, _findings(rows), _draw(rows))


def _features(kind: str, n_arms: int, n_features: int, rng: np.random.Generator) -> Array:
    """[K, d]. random: N(0, 1/d). ordered: such offsets to points along a line, in the order of rewards.
    orthogonal: such offsets to arms that are orthonormal, as far as d allows.
    """
    X = rng.standard_normal((n_arms, n_features)) / np.sqrt(n_features)
    if kind == "random":
        return X
    if kind == "ordered":
        line = rng.standard_normal(n_features)
        return 0.3 * X + np.linspace(3.0, -3.0, n_arms)[:, None] * line / np.linalg.norm(line)
    orthogonal = np.linalg.qr(rng.standard_normal((max(n_arms, n_features), n_features)))[0][:n_arms]
    return orthogonal + 0.3 * X


def _triples_hold(X: Array) -> bool:
    """<x_i - x_j, x_1 - x_k> >= 0 for all i < j <= k; arms in the order of r."""
    gram = X @ X.T
    at = np.arange(len(X))
    i, j, k = at[:, None, None], at[None, :, None], at[None, None, :]
    products = gram[i, 0] - gram[j, 0] - gram[i, k] + gram[j, k]
    return bool((products[(i < j) & (j <= k)] >= -1e-12).all())


def _near_vertices(X: Array, ahead: list[float]) -> Array:
    """theta [.., d] whose logits, as far as X allows, have the worst arm on top, the others behind at the distance
    ahead[1], and one arm k = 2 .. K-1 in between at ahead[0]: where the flow comes past the vertex of k.
    """
    n_arms = len(X)
    logits = np.full((n_arms - 2, n_arms), -ahead[1])
    logits[:, -1] = 0.0
    logits[np.arange(n_arms - 2), np.arange(1, n_arms - 1)] = -ahead[0]
    return logits @ np.linalg.pinv(X).T


def _findings(rows: list[dict[str, Any]]) -> list[Finding]:
    pairwise = [row for row in rows if row["order"] and row["violated_share"] == 0.0]
    strong = [row for row in rows if row["order"] and row["triples"]]
    order = [row for row in rows if row["order"] and row["violated_share"] > 0.0]
    none = [row for row in rows if not row["order"]]
    exact = [row for row in rows if row["error"] < 1e-9]
    inexact = [row for row in rows if row["error"] >= 1e-9]
    sizes = " and ".join(
        f"{min(row[of] for row in rows)} to {max(row[of] for row in rows)} {what}"
        for of, what in (("n_arms", "arms"), ("n_features", "features"))
    )
    return [
        Finding(
            "any K: order and <x_j - x_k, x_1 - x_k> > 0 for all 1 < j < k suffice for convergence from every start",
            FAILS if any(row["lost_for_good"] for row in pairwise) else HOLDS,
            f"a start is lost on {_lost(pairwise)} instances that meet both, on {_lost(order)} that keep the order "
            "but violate a "
            f"pair, on {_lost(none)} that do not keep the order ({sizes}); see lin_spg_counterexample",
            paper="conjecture; 2505.03155 has it for K = 3",
        ),
        Finding(
            "any K: order and <x_i - x_j, x_1 - x_k> >= 0 for all i < j <= k suffice",
            FAILS
            if any(row["lost_for_good"] for row in strong)
            else HOLDS
            if strong
            else f"{CONDITION}conditions met by no instance here",
            f"a start is lost on {_lost(strong)} instances that meet both, on "
            f"{_lost([row for row in rows if not row['triples']])} others; "
            "no counterexample is no proof",
            paper="2505.03155, section 4, in our reading of its quantifiers",
        ),
        Finding(
            "many arms: zero approximation error is neither necessary nor sufficient",
            HOLDS
            if any(row["lost_for_good"] for row in exact) and not all(row["lost_for_good"] for row in inexact)
            else FAILS,
            f"without error (d >= K) a start is lost on {_lost(exact)}; with errors of "
            f"{min(row['error'] for row in inexact):.2g} to "
            f"{max(row['error'] for row in inexact):.2g} on {_lost(inexact)}",
        ),
    ]


def _lost(rows: list[dict[str, Any]]) -> str:
    return f"{sum(row['lost_for_good'] > 0 for row in rows)} of {len(rows)}"


def _draw(rows: list[dict[str, Any]]) -> Any:
    figure, axes = panels(2)
    for color, kind in enumerate(dict.fromkeys(row["kind"] for row in rows)):
        for keeps, marker in ((1, "o"), (0, "x")):
            mine = [row for row in rows if row["kind"] == kind and row["order"] == keeps]
            if mine:
                lost = [100 * row["lost_starts"] for row in mine]
                label = f"{kind}, order {'kept' if keeps else 'not kept'}"
                options = {"color": f"C{color}", "ms": 4, "label": label}
                axes[0].plot([100 * row["violated_share"] for row in mine], lost, marker, **options)
                axes[1].plot([max(row["error"], 1e-16) for row in mine], lost, marker, **options)
    axes[0].set(xlabel="pairs (j, k) that violate the condition [%]", ylabel="starts that miss the best arm [%]")
    axes[1].set(xscale="log", xlabel="approximation error min_w |X w - r|")
    legend(axes[0])
    return figure


EXPERIMENT = Experiment(
    paper="2505.03155, section 4",
    reduced={
        "seed": 0,
        "sizes": [[10, 10], [10, 50], [20, 10], [20, 50]],
        "kinds": ["random", "ordered", "orthogonal"],
        "instances": 3,
        "radii": [1.0, 10.0, 100.0],
        "n_directions": 8,
        "ahead": [5.0, 20.0],
        "flow_steps": 1500,
        "long_steps": 6000,
        "confirmed": 2,
        "logit_step": 0.5,
    },
    full={
        "sizes": [[k, d] for k in (10, 15, 20) for d in (10, 20, 50)],
        "instances": 50,
        "n_directions": 30,
        "flow_steps": 5000,
        "long_steps": 50000,
    },
    run=run,
)
