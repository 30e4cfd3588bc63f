"""Super-linear SPMA on bandits: a step for each pair of arms, 1 / |r(a) - r(b)|, squares 1 - pi(a*) with each update.

So 1 - pi(a*) = (1 - 1/K)^(2^t) from the uniform policy. Such steps ask for the sign of every gap and for nothing else:
what happens if the signs come from samples is measured, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular import FiniteMDP, TabularPolicy, spma, spma_gap
from agents.tabular.checks import Array

from .. import problems
from ..iterate import curve
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = TabularPolicy()


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """1 - pi(a*) by update, exact and with estimated signs."""
    rows, curves, wrong = [], {}, {}
    for n_arms in track(settings["n_arms"]):
        mdp = problems.random_bandit(n_arms, settings["seed"])
        n_updates = int(np.ceil(np.log2(settings["digits"] * np.log(10.0) / -np.log1p(-1.0 / n_arms))))
        rest = _line(mdp, n_updates)
        theory = (1.0 - 1.0 / n_arms) ** (2.0 ** np.arange(n_updates + 1))
        curves[n_arms] = rest, theory
        rows += [
            {"n_arms": n_arms, "samples": "exact", "update": t, "rest": x, "theory": y}
            for t, (x, y) in enumerate(zip(rest.tolist(), theory.tolist(), strict=True))
        ]
        for samples in settings["samples"]:
            wrong[n_arms, samples] = _wrong(mdp, samples, settings)
            rows.append(
                {
                    "n_arms": n_arms,
                    "samples": str(samples),
                    "update": settings["noisy_updates"],
                    "rest": wrong[n_arms, samples],
                    "theory": 0.0,
                }
            )
    two_arms = _one_gap(settings)
    return Outcome(rows, _findings(settings, curves, wrong, two_arms), _draw(curves, wrong, settings))


def _line(mdp: FiniteMDP, n_updates: int) -> Array:
    """1 - pi(a*) [T + 1] with exact signs."""
    start = np.zeros(mdp.r.shape)
    return curve(lambda theta: spma_gap(mdp, theta), lambda theta: _rest(mdp, theta), start, n_updates)[0]


def _rest(mdp: FiniteMDP, theta: Array) -> Array:
    """1 - pi(a*), as the sum over the other arms."""
    return np.delete(SOFTMAX.probs(theta)[0], mdp.r[0].argmax()).sum()


def _wrong(mdp: FiniteMDP, samples: int, settings: Mapping[str, Any]) -> float:
    """The share of runs with pi(a*) < 1/2 at the end, if each update's signs are those of means of so many rewards."""
    rng = np.random.default_rng(settings["seed"])
    noise = settings["noise"] / np.sqrt(samples)
    failed = 0
    for _ in range(settings["noisy_runs"]):
        theta = np.zeros(mdp.r.shape)
        for _ in range(settings["noisy_updates"]):
            theta = spma_gap(problems.bandit(mdp.r[0] + noise * rng.standard_normal(mdp.n_actions)), theta)
        failed += bool(_rest(mdp, theta) > 0.5)
    return failed / settings["noisy_runs"]


def _one_gap(settings: Mapping[str, Any]) -> float:
    """Largest relative difference of constant eta = 1 / gap on two arms from (1/2)^(2^t)."""
    mdp = problems.bandit(settings["two_arms"])
    eta = 1.0 / float(np.ptp(mdp.r))
    rest = curve(lambda theta: spma(mdp, theta, eta), lambda theta: _rest(mdp, theta), np.zeros((1, 2)), 4)[0]
    return float(np.abs(rest / 0.5 ** (2.0 ** np.arange(5)) - 1.0).max())


def _findings(
    settings: Mapping[str, Any],
    curves: Mapping[int, tuple[Array, Array]],
    wrong: Mapping[tuple[int, int], float],
    two: float,
) -> list[Finding]:
    off = max(float(np.abs(np.log(rest) / np.log(theory) - 1.0).max()) for rest, theory in curves.values())
    K = max(curves)
    shown = ", ".join(f"{x:.3g}" for x in curves[10][0][:9])
    few = min(settings["samples"])
    return [
        Finding(
            "with gap-dependent steps SPMA is super-linear on bandits, 1 - pi(a*) = (1 - 1/K)^(2^t)",
            HOLDS if off < 1e-9 else FAILS,
            f"log(1 - pi*) within {off:.1g} of theory for K = {', '.join(map(str, curves))}, down to "
            f"1e-{settings['digits']}; "
            f"K = 10: {shown}; two arms with the constant step 1/gap: within {two:.1g} over 4 updates",
        ),
        Finding(
            "the steps 1 / |r(a) - r(b)| are ones that a learner can take",
            HOLDS if max(wrong.values()) == 0.0 else "holds under the exact sign of every gap",
            f"signs from sampled rewards (noise {settings['noise']:g}), runs that end at a wrong arm after "
            f"{settings['noisy_updates']} updates, "
            + "; ".join(
                f"{n} samples per arm and update: {100 * wrong[10, n]:.0f} % of 10 arms, {100 * wrong[K, n]:.0f} % "
                f"of {K}"
                for n in (few, *settings["samples"][1:])
            ),
        ),
    ]


def _draw(
    curves: Mapping[int, tuple[Array, Array]], wrong: Mapping[tuple[int, int], float], settings: Mapping[str, Any]
) -> Any:
    figure, axes = panels(2)
    for n_arms, (rest, theory) in curves.items():
        (line,) = axes[0].plot(rest, "o", ms=4, label=f"{n_arms} arms")
        axes[0].plot(theory, color=line.get_color(), lw=1)
        shares = [100 * wrong[n_arms, samples] for samples in settings["samples"]]
        axes[1].plot(settings["samples"], shares, "o-", color=line.get_color(), label=f"{n_arms} arms")
    axes[0].set(yscale="log", ylim=(1e-40, 2), xlabel="updates", ylabel="1 - pi(a*)")
    axes[0].set_title("exact signs; lines: (1 - 1/K)^(2^t)")
    axes[1].set(xscale="log", ylim=(-3, 103), xlabel="samples per arm and update", ylabel="runs at a wrong arm [%]")
    axes[1].set_title(f"signs from samples, noise {settings['noise']:g}")
    for one in axes:
        legend(one)
    return figure


EXPERIMENT = Experiment(
    paper="2411.12042, section 3",
    reduced={
        "n_arms": [2, 5, 10, 50],
        "seed": 0,
        "digits": 100,
        "two_arms": [0.2, 0.7],
        "noise": 0.5,
        "samples": [1, 10, 100, 1000],
        "noisy_runs": 100,
        "noisy_updates": 20,
    },
    full={"noisy_runs": 2000},
    run=run,
)
