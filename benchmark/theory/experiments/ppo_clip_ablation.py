"""PPO-Clip with clipping and the regulariser taken away one at a time, by inner steps, step size and start.

Exact advantages on random MDPs; the regulariser is KL(ref || pi) (the paper's forward KL). What counts is the value
without the regulariser, and whether it (or, with the regulariser, the regularised value) ever goes down.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from agents.geometry import ReverseKL
from agents.tabular import FiniteMDP, Regularizer, TabularPolicy, ppo_clip, value
from agents.tabular.checks import Array

from .. import problems
from ..fits import first_below
from ..iterate import curve
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

VARIANTS = {"both": (True, True), "clip": (True, False), "regulariser": (False, True), "neither": (False, False)}
STYLES = {"both": "C0-", "clip": "C1-", "regulariser": "C0--", "neither": "C1--"}


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Curves of V* - V for every seed, variant, number of inner steps and step size, the starts side by side."""
    rows, curves = [], {}
    cells = list(product(settings["seeds"], VARIANTS, settings["n_inner"], settings["steps"]))
    for seed, variant, n_inner, step in track(cells):
        mdp = problems.random_mdp(**settings["mdp"], seed=seed)
        clips, penalised = VARIANTS[variant]
        coef = settings["coef"] if penalised else 0.0
        gaps, objectives = _follow(mdp, coef, step, n_inner, settings["clip_range"] if clips else np.inf, settings)
        curves[seed, variant, n_inner, step] = gaps
        for start, gap, objective in zip(settings["starts"], gaps.T, objectives.T, strict=True):
            falls = np.diff(objective) < -1e-12 * np.abs(objective[1:])
            rows.append(
                {"seed": seed, "variant": variant, "n_inner": n_inner, "step": step, "start": start}
                | {f"updates_to_{goal:g}": first_below(gap, goal) for goal in settings["goals"]}
                | {"left": max(float(gap[-1]), 0.0), "falls": int(falls.sum())}
            )
    return Outcome(rows, _findings(settings, rows), _draw(settings, curves))


def _follow(
    mdp: FiniteMDP, coef: float, step: float, n_inner: int, clip_range: float, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """V* - V and the objective, both at rho: [n_updates + 1, starts]."""
    V, Q, _ = mdp.optimal()
    theta = np.array(settings["starts"])[:, None, None] * np.eye(mdp.n_actions)[Q.argmin(-1)]
    policy, regularizer = TabularPolicy(), Regularizer(ReverseKL(), coef) if coef else None
    found, _ = curve(
        lambda theta: ppo_clip(mdp, theta, ReverseKL(), coef, step, n_inner, clip_range),
        lambda theta: np.stack([V @ mdp.rho - value(mdp, policy, theta), value(mdp, policy, theta, regularizer)]),
        theta,
        settings["n_updates"],
    )
    return found[:, 0], found[:, 1]


def _findings(settings: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    goal, many, far = settings["goals"][0], max(settings["n_inner"]), max(settings["starts"])
    small, large = min(settings["steps"]), max(settings["steps"])

    def pick(variant: str, n_inner: int, step: float, start: float) -> list[dict[str, Any]]:
        key = variant, n_inner, step, start
        return [row for row in rows if (row["variant"], row["n_inner"], row["step"], row["start"]) == key]

    def updates(variant: str, n_inner: int, step: float, start: float) -> float:
        return float(np.median([row[f"updates_to_{goal:g}"] for row in pick(variant, n_inner, step, start)]))

    def told(n_inner: int, step: float, start: float) -> str:
        times = (updates(variant, n_inner, step, start) for variant in VARIANTS)
        return "/".join(f"{time:.0f}" if np.isfinite(time) else "never" for time in times)

    plain = {"both": "regulariser", "clip": "neither"}
    single = {
        (row["seed"], row["variant"], row["step"], row["start"]): row["left"] for row in rows if row["n_inner"] == 1
    }
    same = [
        left == single[seed, plain[variant], step, start]
        for (seed, variant, step, start), left in single.items()
        if variant in plain
    ]
    falls = {variant: sum(row["falls"] > 0 for row in rows if row["variant"] == variant) for variant in VARIANTS}
    helps = updates("regulariser", many, small, far) < updates("neither", many, small, far)
    left = {v: float(np.median([row["left"] for row in pick(v, many, large, 0.0)])) for v in VARIANTS}
    return [
        Finding(
            "clipping is what makes many inner steps safe",
            HOLDS if falls["neither"] else FAILS,
            f"with exact advantages; of {len(rows) // len(VARIANTS)} runs each, those that go down at all: "
            + ", ".join(f"{variant} {n}" for variant, n in falls.items())
            + f"; updates to V* - V <= {goal:g} with both/clip/regulariser/neither: "
            + f"{told(many, small, 0.0)} ({many} inner steps of {small:g}), {told(many, large, 0.0)} (of {large:g})",
            paper="own claim, after 2512.16565",
        ),
        Finding(
            "with one inner step clipping does nothing: PPO-Clip is the policy gradient",
            HOLDS if all(same) else FAILS,
            f"{len(same)} pairs of runs with and without it end in the same value, to the last bit",
        ),
        Finding(
            "the regulariser KL(ref || pi) brings the policy back from far starts, clipping does not",
            HOLDS if helps else FAILS,
            f"updates from a wrong gap of {far:g} with both/clip/regulariser/neither: "
            + "; ".join(f"{told(n, small, far)} ({n} inner steps of {small:g})" for n in settings["n_inner"])
            + "; its price is a bias, V* - V left: "
            + ", ".join(f"{v} {left[v]:.1g}" for v in ("both", "neither")),
        ),
    ]


def _draw(settings: Mapping[str, Any], curves: Mapping[tuple[int, str, int, float], Array]) -> Any:
    columns = list(product(settings["starts"], settings["n_inner"]))
    figure, axes = panels(len(settings["n_inner"]), len(settings["starts"]), width=4.2, height=3.2)
    for one, (start, n_inner) in zip(axes.flat, columns, strict=True):
        for variant, step in product(VARIANTS, settings["steps"]):
            gaps = curves[settings["seeds"][0], variant, n_inner, step][:, settings["starts"].index(start)]
            width = 1.0 if step == min(settings["steps"]) else 2.2
            one.plot(np.maximum(gaps, 1e-7), STYLES[variant], lw=width, label=f"{variant}, step {step:g}")
        one.set(yscale="log", ylim=(1e-6, 20), xlabel="outer updates", ylabel="V* - V, not regularised")
        one.set_title(f"inner steps: {n_inner}, wrong gap {start:g} at the start", fontsize=10)
    legend(axes.flat[-1], fontsize=7)
    return figure


EXPERIMENT = Experiment(
    paper="2512.16565, section 3",
    reduced={
        "mdp": {"n_states": 5, "n_actions": 3, "gamma": 0.9},
        "coef": 0.02,
        "clip_range": 0.2,
        "n_inner": [1, 10, 100],
        "steps": [0.5, 10.0],
        "starts": [0.0, 10.0],
        "seeds": [0, 1, 2],
        "goals": [0.5, 0.05],
        "n_updates": 200,
    },
    full={"seeds": [*range(20)], "n_updates": 2000},
    run=run,
)
