"""The projection U_tau: for which tau does raising every probability to tau / A never lower the regularised value?

Random policies with probabilities down to exp(-30) on random MDPs are projected in every state at once, and the exact
regularised values before and after compared. As the penalty's slope coef f'(A pi) has to beat the range of Q, theory
expects the safe tau to fall exponentially in 1/coef for KL and as a power of it for Tsallis.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import torch

from agents.geometry import KL, Divergence, Tsallis, project_policy
from agents.tabular import FiniteMDP, Regularizer
from agents.tabular.checks import Array

from .. import problems
from ..fits import slope
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = 1.0


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """The share of policies whose value falls, for every alpha, coefficient and tau."""
    rows = []
    mdps = [problems.random_mdp(**settings["mdp"], seed=seed) for seed in settings["seeds"]]
    taus = np.geomspace(0.5, settings["smallest"], settings["n_taus"])
    rng = np.random.default_rng(settings["seeds"][0])
    lowest = rng.uniform(0.0, settings["depth"], (settings["n_policies"], 1, 1))
    logs = -lowest * rng.random((settings["n_policies"], *mdps[0].r.shape))
    policies = np.exp(logs) / np.exp(logs).sum(-1, keepdims=True)
    for alpha, coef in track(list(product((*settings["alphas"], SOFTMAX), settings["coefs"]))):
        divergence = KL() if alpha == SOFTMAX else Tsallis(alpha)
        before = np.array([_values(mdp, policies, divergence, coef) for mdp in mdps])
        for tau in taus:
            projected = project_policy(torch.from_numpy(policies), float(tau)).numpy()
            changed = (projected != policies).any((-2, -1))
            after = np.array([_values(mdp, projected[changed], divergence, coef) for mdp in mdps])
            change = after - before[:, changed]
            falls = change < -1e-12 * np.abs(after)
            rows.append(
                {"alpha": alpha, "coef": coef, "tau": float(tau), "changed": int(changed.sum())}
                | {"falls_share": float(falls.mean()) if falls.size else 0.0}
                | {"worst_change": float(change.min(initial=0.0))}
            )
    return Outcome(rows, _findings(settings, _safe(rows)), _draw(rows, _safe(rows)))


def _values(mdp: FiniteMDP, policies: Array, divergence: Divergence, coef: float) -> Array:
    """V(rho), regularised, of policies [N, S, A]: [N]."""
    return mdp.evaluate(policies, Regularizer(divergence, coef).penalty(policies))[0] @ mdp.rho


def _safe(rows: list[dict[str, Any]]) -> dict[float, dict[float, float]]:
    """By alpha and coefficient the largest tau up to which no policy loses value; nan if there is none."""
    found: dict[float, dict[float, float]] = {}
    for row in reversed(rows):  # from the smallest tau on
        line = found.setdefault(row["alpha"], {})
        line.setdefault(row["coef"], float("nan"))
        falls = any(
            r["falls_share"] for r in rows
            if r["alpha"] == row["alpha"] and r["coef"] == row["coef"] and r["tau"] <= row["tau"]
        )  # fmt: skip
        if not falls and row["changed"]:
            line[row["coef"]] = row["tau"]
    return found


def _findings(settings: Mapping[str, Any], safe: Mapping[float, Mapping[float, float]]) -> list[Finding]:
    found = all(np.isfinite(tau) for alpha in settings["alphas"] for tau in safe[alpha].values())
    softmax = {coef: tau for coef, tau in safe[SOFTMAX].items() if np.isfinite(tau)}
    exponent = slope([1.0 / coef for coef in softmax], np.log(list(softmax.values())))
    small = settings["coefs"][: settings["fit_coefs"]]
    degrees = {a: slope(np.log(small), np.log([safe[a][coef] for coef in small])) for a in settings["alphas"]}
    smallest = min(softmax)
    ratio = min(safe[a][smallest] for a in degrees) / softmax[smallest]
    return [
        Finding(
            "for tau small enough the projection U_tau never lowers the regularised value",
            HOLDS if found else FAILS,
            f"{settings['n_policies']} policies on {len(settings['seeds'])} MDPs; largest safe tau at coef = "
            + ", ".join(f"{coef:g}" for coef in settings["coefs"])
            + ": "
            + "; ".join(
                ("softmax" if a == SOFTMAX else f"alpha={a:g}")
                + " "
                + ", ".join(f"{safe[a][c]:.1g}" if np.isfinite(safe[a][c]) else "none found" for c in settings["coefs"])
                for a in (SOFTMAX, *settings["alphas"])
            ),
        ),
        Finding(
            "the safe tau is polynomial in the coefficient for Tsallis, exponential in its inverse for KL",
            HOLDS if ratio > 100.0 and exponent < 0.0 else FAILS,
            f"degree in the coefficient, over {', '.join(f'{coef:g}' for coef in small)}: "
            + ", ".join(f"alpha={a:g}: {d:.2f}" for a, d in degrees.items())
            + f"; KL: d log(tau) / d(1/coef) = {exponent:.2g}, its tau at {smallest:g} is {ratio:.0e} times smaller",
            paper="own derivation",
        ),
    ]


def _draw(rows: list[dict[str, Any]], safe: Mapping[float, Mapping[float, float]]) -> Any:
    figure, axes = panels(2)
    middle = sorted({row["coef"] for row in rows})[len({row["coef"] for row in rows}) // 2]
    for alpha in sorted(safe):
        label, style = ("softmax, KL", "k--") if alpha == SOFTMAX else (f"alpha = {alpha:g}", "o-")
        mine = [row for row in rows if row["alpha"] == alpha and row["coef"] == middle]
        axes[0].plot([r["tau"] for r in mine], [r["falls_share"] for r in mine], style, ms=3, label=label)
        axes[1].plot(list(safe[alpha]), list(safe[alpha].values()), style, ms=3, label=label)
    axes[0].set(xscale="log", xlabel="tau", ylabel="share of policies that lose value", title=f"coef = {middle:g}")
    axes[1].set(xscale="log", yscale="log", xlabel="regulariser's coefficient", ylabel="largest safe tau")
    for one in axes:
        legend(one)
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, section 4 (T_tau)",
    reduced={
        "mdp": {"n_states": 4, "n_actions": 3, "gamma": 0.9},
        "alphas": [0.1, 0.5, 0.7],
        "coefs": [0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
        "fit_coefs": 3,
        "smallest": 1e-10,
        "n_taus": 41,
        "n_policies": 400,
        "depth": 30.0,
        "seeds": [0, 1],
    },
    full={"n_policies": 10000, "seeds": [*range(10)], "n_taus": 101},
    run=run,
)
