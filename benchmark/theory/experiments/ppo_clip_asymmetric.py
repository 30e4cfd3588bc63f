"""Asymmetric clipping: does a higher upper clip let good but rare actions grow faster?

PPO-Clip without regulariser, exact advantages, from logits that favour the worst action by a gap L. The lower clip
stays as it is. The clip lets a probability grow by about 1 + eps_high per outer update, so L / log(1 + eps_high)
updates are what clipping alone would ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from agents.geometry import KL
from agents.tabular import FiniteMDP, TabularPolicy, ppo_clip, value
from agents.tabular.checks import Array

from .. import problems
from ..iterate import hitting_times
from ..plots import legend, panels
from ..registry import CONDITION, FAILS, HOLDS, Experiment, Finding, Outcome, Track

Times = Mapping[tuple[float, float], float]  # start, upper clip


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Outer updates to a share of V* for every seed, start and upper clip."""
    rows = []
    for seed, high in track(list(product(settings["seeds"], settings["clip_ranges_high"]))):
        times = _times(problems.random_mdp(**settings["mdp"], seed=seed), high, settings)
        rows += [
            {"seed": seed, "start": start, "clip_range_high": high, "updates": float(time)}
            | {"clip_alone": start / float(np.log1p(high))}
            for start, time in zip(settings["starts"], times, strict=True)
        ]
    medians = {
        cell: float(np.median([row["updates"] for row in rows if (row["start"], row["clip_range_high"]) == cell]))
        for cell in product(settings["starts"], settings["clip_ranges_high"])
    }
    return Outcome(rows, [_finding(settings, medians)], _draw(settings, medians))


def _times(mdp: FiniteMDP, high: float, settings: Mapping[str, Any]) -> Array:
    """Outer updates until V* - V is a share of what it was, from every start: [starts]."""
    V, Q, _ = mdp.optimal()
    policy, step, n_inner = TabularPolicy(), settings["step"], settings["n_inner"]

    def short(theta: Array) -> Array:
        return V @ mdp.rho - value(mdp, policy, theta)

    theta = np.array(settings["starts"])[:, None, None] * np.eye(mdp.n_actions)[Q.argmin(-1)]
    return hitting_times(
        lambda theta, runs: ppo_clip(mdp, theta, KL(), 0.0, step, n_inner, settings["clip_range"], high),
        short,
        theta,
        [settings["goal"] * float(short(theta)[0])],
        settings["n_updates"],
    )[:, 0]


def _finding(settings: Mapping[str, Any], times: Times) -> Finding:
    highs, starts, usual = settings["clip_ranges_high"], settings["starts"], settings["clip_range"]
    largest = max(highs)
    faster = [start for start in starts if times[start, largest] < times[start, usual]]
    gain = {start: times[start, usual] / times[start, largest] for start in starts}
    ordered = sorted(gain.values()) == list(gain.values())
    verdict = HOLDS if faster == starts and ordered else FAILS
    if faster and verdict == FAILS:
        verdict = f"{CONDITION}starts close enough for the clip, not the gradient, to be the limit"
    return Finding(
        "a higher upper clip lets rare good actions grow faster",
        verdict,
        f"median updates to {100 * (1 - settings['goal']):.0f} % of the way, upper clip "
        f"{', '.join(f'{high:g}' for high in highs)}: "
        + "; ".join(
            f"wrong gap {start:g}: " + ", ".join(f"{times[start, high]:.0f}" for high in highs) for start in starts
        )
        + f"; from {usual:g} to {largest:g} a factor of "
        + ", ".join(f"{g:.1f}" for g in gain.values()),
    )


def _draw(settings: Mapping[str, Any], times: Times) -> Any:
    figure, axes = panels(1, width=5.5)
    highs = np.array(settings["clip_ranges_high"])
    for i, start in enumerate(settings["starts"]):
        axes.plot(highs, [times[start, high] for high in highs], "o-", color=f"C{i}", label=f"wrong gap {start:g}")
        if start:
            axes.plot(highs, start / np.log1p(highs), ":", color=f"C{i}", lw=1)
    axes.set(xscale="log", yscale="log", xlabel="upper clip eps_high", ylabel="outer updates")
    axes.set_title("dotted: gap / log(1 + eps_high), what the clip alone asks for", fontsize=10)
    legend(axes)
    return figure


EXPERIMENT = Experiment(
    paper="2512.16565, section 3",
    reduced={
        "mdp": {"n_states": 5, "n_actions": 3, "gamma": 0.9},
        "clip_range": 0.2,
        "clip_ranges_high": [0.1, 0.2, 0.28, 0.5, 1.0, 3.0],
        "n_inner": 50,
        "step": 1.0,
        "starts": [0.0, 2.0, 4.0, 6.0, 8.0],
        "seeds": [0, 1, 2],
        "goal": 0.1,
        "n_updates": 500,
    },
    full={"seeds": [*range(20)], "n_updates": 5000, "starts": [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]},
    run=run,
)
