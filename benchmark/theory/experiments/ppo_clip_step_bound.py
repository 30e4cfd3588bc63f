"""PPO-Clip's admissible steps with KL(ref || pi): what S_max guarantees, how far beyond it the guarantees hold.

The theorems bound the sum of the inner steps of one outer update by S_max. Runs take `multiple` x S_max per update,
with S_max worked out anew at each policy. Measured: whether the regularised value ever falls, the smallest pi / pi_n
after an outer update (the proof needs 1/2), and both convergence bounds, Theorem 1 on the gradient and Theorem 2's
linear rate with the smallest probability of the run as c_pi.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from agents.geometry import ReverseKL
from agents.tabular import FiniteMDP, Regularizer, TabularPolicy, ppo_clip, ppo_clip_step_bound, value_and_gradient

from .. import problems
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """One run for every seed, multiple and number of inner steps, from the uniform policy."""
    rows, curves = [], {}
    for cell in track(list(product(settings["seeds"], settings["multiples"], settings["n_inner"]))):
        seed, multiple, n_inner = cell
        mdp = problems.random_mdp(**settings["mdp"], seed=seed)
        row, curves[cell] = _follow(mdp, multiple, n_inner, settings)
        rows.append({"seed": seed, "multiple": multiple, "n_inner": n_inner, **row})
    return Outcome(rows, _findings(settings, rows), _draw(settings, curves))


def _follow(
    mdp: FiniteMDP, multiple: float, n_inner: int, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], np.ndarray]:
    """What is measured, and V* - V at rho relative to the start."""
    coef, clips = settings["coef"], settings["clip_range"]
    policy, regularizer = TabularPolicy(), Regularizer(ReverseKL(), coef)
    V, _, best = mdp.optimal_regularized(ReverseKL(), coef)
    theta, bound = np.zeros(mdp.r.shape), 0.0
    values, gradients, kept, least = [], [], 1.0, 1.0
    for _ in range(settings["n_updates"]):
        value, gradient = value_and_gradient(mdp, policy, theta, regularizer)
        values.append(float(value))
        gradients.append(float(np.square(gradient).sum()))
        probs = policy.probs(theta)
        bound = ppo_clip_step_bound(mdp, theta, coef, clips)
        theta = ppo_clip(mdp, theta, ReverseKL(), coef, multiple * bound / n_inner, n_inner, clips)
        kept = min(kept, float((policy.probs(theta) / probs).min()))
        least = min(least, float(probs.min()))
    gaps = V @ mdp.rho - np.array(values)
    counts = np.arange(1, len(gaps) + 1)
    stationary = np.minimum.accumulate(gradients) * counts * bound / (2.0 * gaps[0])  # Theorem 1: at most 1
    u = mdp.rho  # the surrogate's start distribution, uniform
    rate = (1.0 - mdp.gamma) * coef * bound * u.min() / mdp.n_actions * least**2 / (mdp.visitation(best) / u).max()
    global_bound = gaps[0] / (u.min() * (1.0 - mdp.gamma)) * np.exp(-rate * np.arange(len(gaps)))
    row = {
        "step_bound": bound,
        "falls": int((np.diff(values) < -1e-12 * abs(values[-1])).sum()),
        "smallest_ratio": kept,
        "theorem_1_used": float(stationary.max()),
        "theorem_2_used": float((gaps / global_bound).max()),
        "theorem_2_rate": -rate,
        "left": float(gaps[-1] / gaps[0]),
        "mean_rate": float(np.log(max(gaps[-1] / gaps[0], 1e-15)) / (len(gaps) - 1)),
    }
    return row, gaps / gaps[0]


def _findings(settings: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    inside = [row for row in rows if row["multiple"] <= 1.0]
    proper = [row for row in rows if row["multiple"] == 1.0]
    safe = [
        m for m in settings["multiples"]
        if all(row["falls"] == 0 for row in rows if row["multiple"] <= m)
    ]  # fmt: skip
    halves = [
        m for m in settings["multiples"] if all(row["smallest_ratio"] >= 0.5 for row in rows if row["multiple"] <= m)
    ]
    slow = max(row["left"] for row in proper)
    factor = [row["mean_rate"] / row["theorem_2_rate"] for row in proper]
    return [
        Finding(
            "with inner steps that sum to S_max PPO-Clip never goes down, and keeps pi above pi_n / 2",
            HOLDS if all(row["falls"] == 0 and row["smallest_ratio"] >= 0.5 for row in inside) else FAILS,
            f"S_max = {min(r['step_bound'] for r in proper):.1e} to {max(r['step_bound'] for r in proper):.1e} "
            f"(5 states, 3 actions, gamma = {settings['mdp']['gamma']:g}); smallest pi/pi_n 1 - "
            f"{1 - min(r['smallest_ratio'] for r in proper):.0e}; no run goes down up to {max(safe, default=0):g} "
            f"S_max, none halves a probability up to {max(halves, default=0):g} S_max",
        ),
        Finding(
            "Theorem 1: min over n <= N of |grad|^2 is at most 2 (V* - V_0) / (N S_max)",
            HOLDS if all(row["theorem_1_used"] <= 1.0 for row in inside) else FAILS,
            f"at most {max(row['theorem_1_used'] for row in proper):.2g} of the bound for N <= {settings['n_updates']}",
        ),
        Finding(
            "Theorem 2: V* - V falls at least as exp(-C n), C in closed form",
            HOLDS if all(row["theorem_2_used"] <= 1.0 for row in inside) else FAILS,
            f"at most {max(row['theorem_2_used'] for row in proper):.2g} of the bound; its rate C is "
            f"{max(-row['theorem_2_rate'] for row in proper):.1e} or less, measured {min(factor):.1e} to "
            f"{max(factor):.1e} times that; with S_max {100 * slow:.3g} % of the gap is left after "
            f"{settings['n_updates']} updates: true, but not a step to use",
        ),
    ]


def _draw(settings: Mapping[str, Any], curves: Mapping[tuple[int, float, int], np.ndarray]) -> Any:
    figure, axes = panels(len(settings["n_inner"]), width=5.0)
    for one, n_inner in zip(axes, settings["n_inner"], strict=True):
        for multiple in settings["multiples"]:
            gaps = curves[settings["seeds"][0], multiple, n_inner]
            shown = np.where(gaps > 1e-14, gaps, np.nan)
            one.plot(np.arange(1, len(gaps) + 1), shown, label=f"{multiple:g} x S_max")
        one.set(xscale="log", yscale="log", ylim=(1e-14, 3), xlabel="outer updates")
        one.set(ylabel="V* - V, regularised, relative to the start")
        one.set_title(f"{n_inner} inner step{'s' * (n_inner > 1)} an update", fontsize=10)
        legend(one)
    return figure


EXPERIMENT = Experiment(
    paper="2512.16565, theorems 1 and 2",
    reduced={
        "mdp": {"n_states": 5, "n_actions": 3, "gamma": 0.9},
        "coef": 0.1,
        "clip_range": 0.2,
        "multiples": [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6],
        "n_inner": [1, 10],
        "seeds": [0, 1],
        "n_updates": 300,
    },
    full={"multiples": [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6], "n_updates": 10000},
    run=run,
)
