"""Stochastic Lin-SPG: from one pull per update, with any constant step, and what the theorem's tuned step would cost.

The progress lemma, E[<pi_{t+1}, r>] - <pi_t, r> >= |grad_z <pi_t, r>|^2 / (6 rho kappa^2) at the tuned step, is checked
by summing over the arm that is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular import lin_spg_stochastic
from agents.tabular.checks import Array
from agents.tabular.lin_spg import stochastic_rate

from ..fits import power
from ..flow import SOFTMAX
from ..iterate import curve
from ..plots import legend, panels, thinned
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track
from ._four_arms import arms


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Mean suboptimality by instance and step; the lemma on random bandits."""
    rows, curves = [], {}
    for name, eta in track([(name, eta) for name in settings["instances"] for eta in settings["etas"]]):
        X, r = arms(name)
        r = r / np.abs(r).max()
        curves[name, eta] = gaps, probs = _simulate(X, r, eta, settings)
        running = np.cumsum(gaps[1:]) / np.arange(1, len(gaps))
        rows.append(
            {
                "instance": name,
                "eta": eta,
                "tuned_eta": stochastic_rate(X, r),
                "last": float(gaps[-1]),
                "power": power(gaps[1:], settings["n_updates"] // 10),
                "power_of_average": power(running, settings["n_updates"] // 10),
                "optimal_share": float((probs[:, 0] > 0.9).mean()),
            }
        )
    lemma = _progress(settings)
    return Outcome(rows, _findings(rows, lemma, settings), _draw(curves, settings))


def _simulate(X: Array, r: Array, eta: float, settings: Mapping[str, Any]) -> tuple[Array, Array]:
    """Mean suboptimality [T + 1] and the last policies [R, K]."""
    rng = np.random.default_rng(settings["seed"])
    gaps, theta = curve(
        lambda theta: lin_spg_stochastic(X, r, theta, eta, rng, settings["noise"]),
        lambda theta: (SOFTMAX.probs(theta @ X.T) @ (r.max() - r)).mean(),
        np.zeros((settings["runs"], X.shape[1])),
        settings["n_updates"],
    )
    return gaps, SOFTMAX.probs(theta @ X.T)


def _progress(settings: Mapping[str, Any]) -> float:
    """The smallest ratio of the expected progress at the tuned step to the lemma's bound, over random bandits."""
    rng = np.random.default_rng(settings["seed"])
    smallest = np.inf
    for _ in range(settings["lemma_cases"]):
        n_arms = int(rng.integers(2, 5))
        X, r = rng.standard_normal((n_arms, n_arms)), np.linspace(1.0, 0.0, n_arms)
        eta = stochastic_rate(X, r)
        singular = np.linalg.svd(X, compute_uv=False)
        kappa = float((singular[0] / singular[-1]) ** 2)
        rho = 8.0 * n_arms**1.5 / float(np.diff(r[::-1]).min()) ** 2
        theta = rng.standard_normal(n_arms)
        probs = SOFTMAX.probs(X @ theta)
        after = SOFTMAX.probs((theta + eta * r[:, None] * (X - probs @ X)) @ X.T)  # row a: arm a was drawn
        progress = float(probs @ ((after - probs) @ (r - probs @ r)))
        gradient = probs * (r - probs @ r)
        bound = float(gradient @ gradient) / (6.0 * rho * kappa**2)
        if bound > 1e-9:  # below, the progress is rounding
            smallest = min(smallest, progress / bound)
    return float(smallest)


def _findings(rows: list[dict[str, Any]], lemma: float, settings: Mapping[str, Any]) -> list[Finding]:
    good = [row for row in rows if row["instance"] != "paper 2"]
    sure = [row for row in good if row["optimal_share"] == 1.0]
    bad = [row for row in rows if row["instance"] == "paper 2"]
    stays = [row["eta"] for row in bad if row["optimal_share"] == 1.0]
    unsafe = {row["eta"] for row in good if row["optimal_share"] < 1.0}
    safe = [eta for eta in settings["etas"] if eta not in unsafe]
    one = good[0]
    return [
        Finding(
            "stochastic Lin-SPG converges with any constant step where the conditions hold, gap O(log T / T) on "
            "average",
            HOLDS
            if len(sure) == len(good) and all(row["power_of_average"] < -0.8 for row in good)
            else f"holds under eta <= {max(safe):g} at this length"
            if safe
            else FAILS,
            f"{settings['runs']} runs of {settings['n_updates']} pulls, rewards scaled to at most 1, noise "
            f"{settings['noise']:g}: "
            + "; ".join(
                f"eta {row['eta']:g}, {row['instance']}: average T^{row['power_of_average']:.2f}, last "
                f"T^{row['power']:.2f}, "
                f"{100 * row['optimal_share']:.0f} % optimal"
                for row in good
            ),
        ),
        Finding(
            "E[progress] >= |grad|^2 / (6 rho kappa^2) at the tuned step",
            HOLDS if lemma >= 1.0 - 1e-6 else FAILS,
            f"smallest ratio to the bound over {settings['lemma_cases']} random bandits: {lemma:.6f}; the tuned step "
            "is "
            f"{one['tuned_eta']:.1e} on {one['instance']} (scaled), where {min(settings['etas']):g} to "
            f"{max(settings['etas']):g} were "
            "run: a guarantee, not a recommendation",
        ),
        Finding(
            "sampling leads to the arm that the exact flow leads to",
            HOLDS
            if len(stays) == len(bad)
            else f"holds under small steps, eta <= {max(stays):g} here"
            if stays
            else FAILS,
            "paper 2 has traps, and theta = 0 lies outside; optimal from there: "
            + ", ".join(f"{100 * row['optimal_share']:.0f} % (eta {row['eta']:g})" for row in bad),
            paper="here",
        ),
    ]


def _draw(curves: Mapping[tuple[str, float], tuple[Array, Array]], settings: Mapping[str, Any]) -> Any:
    figure, axes = panels(len(settings["instances"]))
    for one, name in zip(axes, settings["instances"], strict=True):
        for eta in settings["etas"]:
            one.plot(*thinned(curves[name, eta][0][1:]), label=f"eta = {eta:g}")
        times = np.array([1e2, settings["n_updates"]])
        one.plot(times, 10.0 / times, "k:", label="10 / T")
        one.set(xscale="log", yscale="log", ylim=(1e-5, 1), xlabel="pulls T", title=name)
        legend(one)
    axes[0].set_ylabel(f"suboptimality, mean of {settings['runs']} runs")
    return figure


EXPERIMENT = Experiment(
    paper="2505.03155, section 5",
    reduced={
        "seed": 0,
        "instances": ["paper 1", "equal error, good", "paper 2"],
        "etas": [0.01, 0.1, 1.0],
        "noise": 0.1,
        "runs": 100,
        "n_updates": 15000,
        "lemma_cases": 500,
    },
    full={"runs": 1000, "n_updates": 1000000, "lemma_cases": 20000},
    run=run,
)
