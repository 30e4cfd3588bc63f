"""Flat regions: the two-armed bandit's landscape under four pairs of parameterisation and regulariser.

Over the logits in a square the regularised value is drawn, and the share of the square where its gradient is next to
nothing is measured: the plateaus on which gradient ascent stands still. At the optimum the gradient vanishes as well;
logits whose difference is close to the optimal one do not count. (The paper's notebook has the reference (1, 1), which
does not sum to 1; here it is uniform.)
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from agents.geometry import KL, Tsallis
from agents.tabular import Regularizer, TabularPolicy, value_and_gradient
from agents.tabular.checks import Array

from .. import problems
from ..plots import panels
from ..registry import CONDITION, FAILS, HOLDS, Experiment, Finding, Outcome, Track

PAIRS = list(product(("softmax", "Tsallis"), ("entropy", "Tsallis")))  # policy, regulariser


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Value and gradient on the grid, for each pair."""
    mdp = problems.bandit(settings["means"])
    extent, levels = settings["extent"], settings["levels"]
    axis = np.linspace(-extent, extent, settings["points"])
    theta = np.stack(np.meshgrid(axis, axis), axis=-1)[:, :, None]  # theta[i, j] = (axis[j], axis[i])
    gap = theta[..., 0, 1] - theta[..., 0, 0]
    rows, flat = [], {}
    figure, axes = panels(4, 2, width=3.6, height=3.2)
    for column, pair in enumerate(track(PAIRS)):
        policy, regularizer = (Tsallis(settings["alpha"]) if name == "Tsallis" else KL() for name in pair)
        penalty = Regularizer(regularizer, settings["coef"])
        values, gradients = value_and_gradient(mdp, TabularPolicy(policy), theta, penalty)
        norms = np.linalg.norm(gradients[:, :, 0], axis=-1)
        away = np.abs(gap - gap.flat[values.argmax()]) > settings["near_optimum"]
        flat[pair] = [float((norms[away] < level).mean()) for level in levels]
        rows += [
            {"policy": pair[0], "regularizer": pair[1], "gradient_below": level, "flat_share": share}
            for level, share in zip(levels, flat[pair], strict=True)
        ]
        _draw(figure, axes[:, column], values, norms, extent)
        axes[0, column].set_title(f"{pair[0]} policy, {pair[1]} regulariser", fontsize=10)
    return Outcome(rows, [_finding(levels, flat)], figure)


def _draw(figure: Any, axes: Any, values: Array, norms: Array, extent: float) -> None:
    axis = np.linspace(-extent, extent, len(values))
    lows = np.arange(-6.0, 0.5, 0.5)
    for panel, image, label, options in (
        (axes[0], values, "regularised value", {"levels": 24}),
        (
            axes[1],
            np.log10(np.maximum(norms, 1e-12)),
            "log10 of the gradient's norm",
            {"levels": lows, "cmap": "magma"},
        ),
    ):
        shown = panel.contourf(axis, axis, image, extend="both", **options)
        figure.colorbar(shown, ax=panel, label=label, shrink=0.85)
        panel.set(xlabel="logit of the bad arm", ylabel="logit of the good arm", aspect="equal")
        panel.grid(False)


def _finding(levels: list[float], flat: Mapping[tuple[str, str], list[float]]) -> Finding:
    """Only the coupled Tsallis pair is without plateaus: at every level, at some, or at none?"""
    coupled = ("Tsallis", "Tsallis")
    alone = [
        level
        for i, level in enumerate(levels)
        if flat[coupled][i] == 0.0 and all(flat[pair][i] > 0.0 for pair in PAIRS if pair != coupled)
    ]
    verdict = HOLDS if alone == levels else FAILS
    if alone and alone != levels:
        verdict = f"{CONDITION}a threshold of {', '.join(f'{level:g}' for level in alone)} on the gradient"
    shares = "; ".join(
        f"{policy} + {regularizer}: " + ", ".join(f"{100 * share:.0f} %" for share in flat[policy, regularizer])
        for policy, regularizer in PAIRS
    )
    return Finding(
        "of the four pairs of softmax or Tsallis policy and regulariser only Tsallis with Tsallis has no flat regions",
        verdict,
        f"share of the square with a gradient below {', '.join(f'{level:g}' for level in levels)}: {shares}",
    )


EXPERIMENT = Experiment(
    paper="2601.12604, figure 1",
    reduced={
        "means": [0.0, 1.0],
        "coef": 1.0,
        "alpha": 0.1,
        "extent": 50.0,
        "points": 201,
        "near_optimum": 2.0,
        "levels": [1e-2, 1e-3, 1e-4, 1e-6],
    },
    full={"points": 1001},
    run=run,
)
