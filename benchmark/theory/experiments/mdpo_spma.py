"""MDPO against SPMA on tables: exact maximisers, and m inner gradient steps from the old policy.

MDPO's exact maximiser is the natural policy gradient's update. With one inner step both are vanilla policy gradient,
with step eta (SPMA) or the inner step itself (MDPO, whose eta has no effect then). Inner steps are Armijo's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular import Armijo, FiniteMDP, TabularPolicy, mdpo, mdpo_projected, npg, spma, spma_projected
from agents.tabular.checks import Array

from .. import problems
from ..fits import first_below
from ..iterate import curve
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = TabularPolicy()
EXACT = {"SPMA": spma, "MDPO": mdpo}
PROJECTED = {"SPMA": spma_projected, "MDPO": mdpo_projected}


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Mean suboptimality by task, rule and inner steps (0: the exact solution)."""
    tasks = {
        "random MDP": problems.random_mdp(**settings["mdp"], gamma=settings["gamma"]),
        "FrozenLake": problems.frozen_lake(settings["gamma"], uniform_start=True),
    }
    rows, curves = [], {}
    search = Armijo(step_max=settings["step_max"], c=settings["c"])
    for task, rule, m in track([(t, rule, m) for t in tasks for rule in EXACT for m in (0, *settings["inner_steps"])]):
        curves[task, rule, m] = line = _line(tasks[task], rule, m, search, settings["n_updates"])
        times = {"to_0.1": first_below(line, 0.1), "to_0.01": first_below(line, 0.01)}
        rows.append({"task": task, "rule": rule, "inner_steps": m, "left": float(line[-1]), **times})
    return Outcome(rows, _findings(rows, curves, _apart(tasks["random MDP"]), settings), _draw(curves))


def _line(mdp: FiniteMDP, rule: str, m: int, search: Armijo, n_updates: int) -> Array:
    """V*(rho) - V(rho) over that at the start [T + 1], eta = 1 - gamma, by m inner steps or exactly (m = 0)."""
    eta = 1.0 - mdp.gamma

    def update(theta: Array) -> Array:
        return PROJECTED[rule](mdp, SOFTMAX, theta, eta, m, search) if m else EXACT[rule](mdp, theta, eta)

    gaps = curve(
        update, lambda theta: mdp.suboptimality(SOFTMAX.probs(theta)) @ mdp.rho, np.zeros(mdp.r.shape), n_updates
    )[0]
    return gaps / gaps[0]


def _apart(mdp: FiniteMDP) -> dict[str, float]:
    """Differences of one update: MDPO's solution from NPG's; MDPO at m = 1 by eta; directions of both at m = 1 "
    "(cosine)."""
    theta = np.random.default_rng(0).standard_normal(mdp.r.shape)
    steps = {rule: PROJECTED[rule](mdp, SOFTMAX, theta, 0.1, 1, 1e-3) - theta for rule in PROJECTED}
    other = mdpo_projected(mdp, SOFTMAX, theta, 10.0, 1, 1e-3) - theta
    flat = {rule: step.ravel() / np.linalg.norm(step) for rule, step in steps.items()}
    return {
        "npg": float(np.abs(mdpo(mdp, theta, 0.1) - npg(mdp, theta, 0.1)).max()),
        "eta": float(np.abs(other / steps["MDPO"] - 1.0).max()),
        "cosine": float(flat["SPMA"] @ flat["MDPO"]),
    }


def _findings(
    rows: list[dict[str, Any]],
    curves: Mapping[tuple[str, str, int], Array],
    apart: Mapping[str, float],
    settings: Mapping[str, Any],
) -> list[Finding]:
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    left = {(row["task"], row["rule"], row["inner_steps"]): row["left"] for row in rows}
    exact = max(float(np.abs(curves[t, "SPMA", 0] - curves[t, "MDPO", 0]).max()) for t in tasks)
    ms = settings["inner_steps"]
    table = "; ".join(
        f"{t}: "
        + ", ".join(f"{left[t, 'SPMA', m]:.2g} / {left[t, 'MDPO', m]:.2g} (m = {m or 'exact'})" for m in (0, *ms))
        for t in tasks
    )
    return [
        Finding(
            "on tables SPMA and MDPO are alike",
            HOLDS if exact < 0.02 else FAILS,
            f"exact solutions, eta = 1 - gamma: V* - V over its start at most {exact:.2g} apart in "
            f"{settings['n_updates']} updates; "
            f"MDPO's is NPG's update to {apart['npg']:.0e}",
            paper="2411.12042, section 3; 2005.09814",
        ),
        Finding(
            "with one inner step MDPO and SPMA are vanilla policy gradient",
            HOLDS if apart["eta"] < 1e-9 and abs(apart["cosine"] - 1.0) < 1e-9 else FAILS,
            f"cosine of the two steps 1 to {abs(1.0 - apart['cosine']):.0e}; MDPO's does not depend on eta (to "
            f"{apart['eta']:.0e})",
            paper="2005.09814",
        ),
        Finding(
            "more inner steps bring both to their exact solution",
            HOLDS
            if all(abs(left[t, rule, max(ms)] / left[t, rule, 0] - 1.0) < 0.1 for t in tasks for rule in EXACT)
            else FAILS,
            f"V* - V left of the start after {settings['n_updates']} updates, SPMA / MDPO: {table}",
            paper="2411.12042, section 4",
        ),
    ]


def _draw(curves: Mapping[tuple[str, str, int], Array]) -> Any:
    tasks = list(dict.fromkeys(task for task, _, _ in curves))
    figure, axes = panels(len(tasks))
    ms = list(dict.fromkeys(m for _, _, m in curves))
    for one, task in zip(axes, tasks, strict=True):
        for (where, rule, m), line in curves.items():
            if where == task:
                label = f"{rule}, {f'm = {m}' if m else 'exact'}"
                one.plot(line, f"C{ms.index(m)}{'-' if rule == 'SPMA' else '--'}", lw=1.5, label=label)
        one.set(yscale="log", xlabel="updates", title=task)
        legend(one, fontsize=7)
    axes[0].set_ylabel("V* - V relative to the start")
    return figure


EXPERIMENT = Experiment(
    paper="2411.12042; 2005.09814",
    reduced={
        "mdp": {"n_states": 10, "n_actions": 4, "seed": 0},
        "gamma": 0.9,
        "inner_steps": [1, 5, 20],
        "step_max": 1000.0,
        "c": 0.1,
        "n_updates": 200,
    },
    full={"mdp": {"n_states": 50, "n_actions": 5, "seed": 0}, "inner_steps": [1, 5, 10, 25, 100], "n_updates": 2000},
    run=run,
)
