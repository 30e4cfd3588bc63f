"""Stochastic bandits: policy gradient, SPMA and NPG from one importance-weighted pull per update.

The steps that make SPMA and NPG linear with exact advantages make them commit to whatever was drawn: each reward above
0 raises the drawn arm by a factor, with nothing to bring the others back. SPG's step has a factor pi(a), and waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular.checks import Array

from ..fits import power
from ..iterate import curve
from ..plots import legend, panels, thinned
from ..pulls import SOFTMAX, sampled_update
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

BERNOULLI = "bernoulli"


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Mean suboptimality over runs by rule, noise, step and batch, and the share of runs at a wrong arm."""
    means = np.array(settings["means"])
    rows, curves = [], {}
    cells = [
        (rule, noise, eta, 1) for rule, etas in settings["etas"].items() for noise in settings["noises"] for eta in etas
    ]
    cells += [("SPMA", BERNOULLI, settings["batch_eta"], batch) for batch in settings["batches"]]
    for cell in track(cells):
        rule, noise, eta, batch = cell
        gaps, probs = _simulate(means, *cell, settings)
        curves[cell], n_updates = gaps, len(gaps) - 1
        wrong = (probs.argmax(-1) != means.argmax()) & (probs.max(-1) > 0.9)
        rows.append(
            {
                "rule": rule,
                "noise": str(noise),
                "eta": eta,
                "batch": batch,
                "updates": n_updates,
                "suboptimality": float(gaps[-1]),
                "power": power(gaps[1:], n_updates // 10),
                "at_wrong_arm": float(wrong.mean()),
                "undecided": float((probs.max(-1) <= 0.9).mean()),
            }
        )
    return Outcome(rows, _findings(rows, settings), _draw(curves, settings))


def _simulate(
    means: Array, rule: str, noise: float | str, eta: float, batch: int, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Mean suboptimality [T + 1] and the last policies [R, K]."""
    rng = np.random.default_rng(settings["seed"])
    gaps, theta = curve(
        lambda theta: sampled_update(rule, means, theta, eta, rng, noise, batch),
        lambda theta: (SOFTMAX.probs(theta) @ (means.max() - means)).mean(),
        np.zeros((settings["runs"], len(means))),
        settings["n_updates"] // batch,
    )
    return gaps, SOFTMAX.probs(theta)


def _findings(rows: list[dict[str, Any]], settings: Mapping[str, Any]) -> list[Finding]:
    one = [row for row in rows if row["batch"] == 1]
    of = {rule: [row for row in one if row["rule"] == rule] for rule in settings["etas"]}
    safe = {rule: _safe(mine) for rule, mine in of.items()}
    batches = [
        row
        for row in rows
        if row["rule"] == "SPMA" and row["noise"] == BERNOULLI and row["eta"] == settings["batch_eta"]
    ]
    batches = sorted(batches, key=lambda row: row["batch"])
    small = [row["power"] for row in of["SPG"] if row["eta"] in safe["SPG"]]
    linear = [rule for rule in ("SPMA", "NPG") if len(safe[rule]) == len(settings["etas"][rule])]
    partly = ", ".join(f"{rule} eta <= {max(safe[rule]):g}" for rule in ("SPMA", "NPG") if safe[rule])
    return [
        Finding(
            "stochastic softmax policy gradient converges with any constant step, as 1/t on average",
            HOLDS
            if len(safe["SPG"]) == len(settings["etas"]["SPG"])
            else f"holds under eta <= {max(safe['SPG'], default=0):g} at this length",
            f"{settings['runs']} runs of {settings['n_updates']} pulls; "
            + _wrong(of["SPG"])
            + (
                f"; suboptimality as t^{min(small):.2f} to t^{max(small):.2f} where no run is at a wrong arm"
                if small
                else ""
            )
            + ". Almost sure convergence allows for plateaus longer than any run",
            paper="2505.03155, section 5; Mei et al. 2024",
        ),
        Finding(
            "SPMA and NPG keep their linear rate with sampled rewards and a constant step",
            HOLDS
            if len(linear) == 2
            else f"holds under steps so small that no run went wrong, {partly}"
            if partly
            else FAILS,
            "they are linear, some of the runs towards a wrong arm, for good: "
            + "; ".join(_wrong(of[rule]) for rule in ("SPMA", "NPG")),
            paper="2411.12042, section 3 has exact advantages; sampled: here",
        ),
        Finding(
            "averaging pulls before each step of SPMA removes the error",
            HOLDS if batches[-1]["at_wrong_arm"] == 0.0 < batches[0]["at_wrong_arm"] else FAILS,
            f"eta {settings['batch_eta']:g}, Bernoulli, {settings['n_updates']} pulls in all, runs at a wrong arm: "
            + ", ".join(f"{100 * row['at_wrong_arm']:.1f} % ({row['batch']} per update)" for row in batches),
            paper="here",
        ),
    ]


def _safe(rows: list[dict[str, Any]]) -> list[float]:
    """The steps at which no run was at a wrong arm, whatever the noise."""
    return [
        eta
        for eta in dict.fromkeys(row["eta"] for row in rows)
        if not any(r["at_wrong_arm"] for r in rows if r["eta"] == eta)
    ]


def _wrong(rows: list[dict[str, Any]]) -> str:
    """Shares of runs at a wrong arm, by step and noise."""
    by_eta = {eta: [row for row in rows if row["eta"] == eta] for eta in dict.fromkeys(row["eta"] for row in rows)}
    return (
        f"{rows[0]['rule']} at a wrong arm, "
        + ", ".join(
            f"eta {eta:g}: " + " / ".join(f"{100 * row['at_wrong_arm']:.1f} %" for row in mine)
            for eta, mine in by_eta.items()
        )
        + f" ({' / '.join(map(_name, next(iter(by_eta.values()))))})"
    )


def _name(row: Mapping[str, Any]) -> str:
    return "Bernoulli" if row["noise"] == BERNOULLI else f"Gaussian {row['noise']}"


def _draw(curves: Mapping[tuple[str, Any, float, int], Array], settings: Mapping[str, Any]) -> Any:
    figure, axes = panels(len(settings["noises"]))
    for one, noise in zip(axes, settings["noises"], strict=True):
        for (rule, kind, eta, batch), gaps in curves.items():
            if kind == noise and batch == 1:
                color = f"C{('SPG', 'SPMA', 'NPG').index(rule)}"
                style = ("-", "--", ":")[sorted(settings["etas"][rule], reverse=True).index(eta)]
                one.plot(*thinned(gaps[1:]), color=color, ls=style, label=f"{rule}, eta = {eta:g}")
        one.set(xscale="log", yscale="log", ylim=(1e-4, 1), xlabel="pulls")
        one.set_title("Bernoulli rewards" if noise == BERNOULLI else f"Gaussian noise, {noise:g}")
        legend(one)
    axes[0].set_ylabel(f"suboptimality, mean of {settings['runs']} runs")
    return figure


EXPERIMENT = Experiment(
    paper="2411.12042; 2505.03155",
    reduced={
        "seed": 0,
        "means": [0.8, 0.6, 0.4, 0.2],
        "noises": ["bernoulli", 0.5],
        "etas": {"SPG": [0.05, 0.4, 2.0], "SPMA": [0.03, 0.3], "NPG": [0.03, 0.3]},
        "batch_eta": 0.3,
        "batches": [10, 100],
        "runs": 200,
        "n_updates": 10000,
    },
    full={"runs": 2000, "n_updates": 1000000},
    run=run,
)
