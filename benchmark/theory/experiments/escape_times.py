"""Escape times from the wrong arm: by the initial policy softmax is ahead, by the initial logits Tsallis.

Two arms of rewards 1 and 0, no regulariser. Under gradient flow the logit gap g = theta_good - theta_bad moves by
dg/dt = 2 w w' / (w + w'), the time to pi(good) = 1/2 is the integral of the inverse from the start to 0. Theory, by
w = pi^(2 - alpha): pi(good)^-(3 - 2 alpha) in the initial policy, |g|^((3 - 2 alpha) / (1 - alpha)) in the initial
logits, exp |g| for softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.geometry import KL, Divergence, Tsallis
from agents.tabular import TabularPolicy, gradient_ascent
from agents.tabular.checks import Array
from agents.tabular.operators import f_prime_of, sensitivity, softargmax

from .. import problems
from ..fits import slope
from ..iterate import hitting_times
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = 1.0


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Times by start, and the iterations of gradient ascent at step 1 where they are few enough to be made."""
    rows = []
    for alpha in track([SOFTMAX, *settings["alphas"]]):
        divergence = KL() if alpha == SOFTMAX else Tsallis(alpha)
        policies = np.array(settings["policies"])
        from_policies = np.array([_gap_of(policy, divergence) for policy in policies])
        gaps = np.array(settings["logit_gaps"])
        for start, values, starts in (("policy", policies, from_policies), ("logits", gaps, gaps)):
            times = np.array([flow_time(gap, divergence, settings["points"]) for gap in starts])
            counts = _iterations(np.where(times <= settings["most_iterations"] / 2, starts, 0.0), divergence, settings)
            rows += [
                {"alpha": alpha, "start": start, "value": value, "flow_time": time, "iterations": count}
                for value, time, count in zip(values, times, counts, strict=True)
            ]
    return Outcome(rows, _findings(settings, rows), _draw(rows))


def flow_time(gap: float, divergence: Divergence, points: int) -> float:
    """Time of the gradient flow from pi(good) of logit gap -gap to 1/2, by the trapezoid rule on a fine grid."""
    along = gap * np.linspace(0.0, 1.0, points) ** 3  # finer towards 0, where the policy changes fast
    return float(np.trapezoid(1.0 / _speed(along, divergence), along))


def _speed(gaps: Array, divergence: Divergence) -> Array:
    """dg/dt at logit gaps -gaps [N]."""
    w = sensitivity(softargmax(np.stack([np.zeros_like(gaps), gaps], axis=-1), divergence), divergence)
    return 2.0 * w.prod(-1) / w.sum(-1)


def _gap_of(good: float, divergence: Divergence) -> float:
    """theta_bad - theta_good at pi(good)."""
    dual = f_prime_of(np.array([good, 1.0 - good]), divergence)
    return float(dual[1] - dual[0])


def _iterations(gaps: Array, divergence: Divergence, settings: Mapping[str, Any]) -> Array:
    """Updates at step 1 until pi(good) >= 1/2, from logit gaps [N]; nan for those that are not made (gap 0)."""
    mdp, policy = problems.bandit([1.0, 0.0]), TabularPolicy(divergence)
    counts = np.full(len(gaps), np.nan)
    (made,) = np.nonzero(gaps)
    theta = np.stack([np.zeros(len(made)), gaps[made]], axis=-1)[:, None]
    counts[made] = hitting_times(
        lambda theta, runs: gradient_ascent(mdp, policy, theta, 1.0),
        lambda theta: -policy.probs(theta)[:, 0, 0],
        theta,
        [-0.5],
        settings["most_iterations"],
    )[:, 0]
    return counts


def _findings(settings: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    alphas = [SOFTMAX, *settings["alphas"]]
    times = {start: {a: _line(rows, a, start)[1] for a in alphas} for start in ("policy", "logits")}
    worst = min(alphas)
    far = -settings["far_points"]
    by_policy, by_logits = settings["policies"], settings["logit_gaps"]
    fits, theory = {}, {}
    for a in settings["alphas"]:
        fits[a] = (
            -slope(np.log(by_policy[far:]), np.log(times["policy"][a][far:])),
            slope(np.log(by_logits[far:]), np.log(times["logits"][a][far:])),
        )
        theory[a] = 3.0 - 2.0 * a, (3.0 - 2.0 * a) / (1.0 - a)
    counted = [row for row in rows if np.isfinite(row["iterations"]) and row["flow_time"] > 50.0]
    off = max(abs(row["iterations"] / row["flow_time"] - 1.0) for row in counted)
    slower = all(times["policy"][worst][i] > times["policy"][SOFTMAX][i] for i in range(len(by_policy)))
    faster = [gap for i, gap in enumerate(by_logits) if times["logits"][worst][i] < times["logits"][SOFTMAX][i]]
    holds = f"holds under equal initial logits, a gap of {min(faster):g} or more, not under equal initial policies"
    agree = all(abs(f / t - 1.0) <= 0.1 for a in fits for f, t in zip(fits[a], theory[a], strict=True))
    return [
        Finding(
            "a Tsallis policy escapes from the wrong arm faster than softmax",
            holds if slower and faster else HOLDS if faster else FAILS,
            f"time to pi = 1/2, alpha={worst:g} against softmax: from pi = {by_policy[1]:g} "
            f"{times['policy'][worst][1]:.2g} against {times['policy'][SOFTMAX][1]:.2g}, from a logit gap of "
            f"{by_logits[4]:g} {times['logits'][worst][4]:.2g} against {times['logits'][SOFTMAX][4]:.2g}",
        ),
        Finding(
            "its escape time is a power, p^-(3 - 2 alpha) of the initial probability, "
            "gap^((3 - 2 alpha)/(1 - alpha)) of the initial logit gap",
            HOLDS if agree else f"holds under far starts only, fits up to {_worst(fits, theory):.0%} off",
            "fitted (theory): "
            + "; ".join(
                f"alpha={a:g}: " + ", ".join(f"{f:.2f} ({t:.3g})" for f, t in zip(fits[a], theory[a], strict=True))
                for a in fits
            )
            + f"; gradient ascent at step 1 takes as long, within {100 * off:.1f} %",
            paper="own derivation",
        ),
    ]


def _worst(fits: Mapping[float, tuple[float, float]], theory: Mapping[float, tuple[float, float]]) -> float:
    return max(abs(f / t - 1.0) for a in fits for f, t in zip(fits[a], theory[a], strict=True))


def _line(rows: list[dict[str, Any]], alpha: float, start: str) -> tuple[list[float], list[float]]:
    mine = [row for row in rows if row["alpha"] == alpha and row["start"] == start]
    return [row["value"] for row in mine], [row["flow_time"] for row in mine]


def _draw(rows: list[dict[str, Any]]) -> Any:
    figure, axes = panels(2)
    for alpha in dict.fromkeys(row["alpha"] for row in rows):
        label = "softmax" if alpha == SOFTMAX else f"alpha = {alpha:g}"
        for one, start in zip(axes, ("policy", "logits"), strict=True):
            one.plot(*_line(rows, alpha, start), "k--" if alpha == SOFTMAX else "o-", ms=3, label=label)
    axes[0].invert_xaxis()
    for one, start in zip(axes, ("initial probability of the good arm", "initial logit gap"), strict=True):
        one.set(xscale="log", yscale="log", ylim=(1, 1e20), xlabel=start, ylabel="time to pi = 1/2 (updates x step)")
        legend(one)
    axes[0].set_title("the same policy at the start")
    axes[1].set_title("the same logits at the start")
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, sections 1 and 4",
    reduced={
        "alphas": [0.9, 0.7, 0.5, 0.3, 0.1],
        "policies": [0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6],
        "logit_gaps": [2.0, 5.0, 10.0, 20.0, 40.0, 100.0, 200.0, 400.0],
        "far_points": 3,
        "points": 20001,
        "most_iterations": 5000,
    },
    full={"points": 2000001, "most_iterations": 1000000},
    run=run,
)
