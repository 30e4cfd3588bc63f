"""SPMA and NPG on bandits: linear at log(1 - eta gap) and -eta gap, against O(1/t) of the softmax policy gradient.

Rewards from U[0, 1], the uniform policy at the start. Slopes d log(suboptimality) / dt are fitted far below the
rounding of V* - V: suboptimality is a sum of regrets, which has full relative precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agents.tabular import FiniteMDP, TabularPolicy, npg, spg, spma
from agents.tabular.checks import Array

from .. import problems
from ..fits import first_below, power, rate
from ..iterate import curve
from ..plots import legend, panels, thinned
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = TabularPolicy()


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Curves of three update rules on every bandit; slopes, iterations, and the bound of the theorem."""
    rows, curves = [], {}
    high, low = settings["fit_between"]
    eta, seeds = settings["eta"], settings["seeds"]
    for n_arms in track(settings["n_arms"]):
        bandits = problems.side_by_side([problems.random_bandit(n_arms, seed, settings["min_gap"]) for seed in seeds])
        regrets = bandits.r.max(-1, keepdims=True) - bandits.r
        gaps = np.sort(regrets)[:, 1].tolist()
        n_linear = int(1.1 * -np.log(low) / (eta * min(gaps)))
        for name, update, step, n_updates in (
            ("SPMA", spma, eta, n_linear),
            ("NPG", npg, eta, n_linear),
            ("SPG", spg, eta * len(seeds), settings["spg_updates"]),
        ):
            curves[name, n_arms] = _lines(bandits, regrets, update, step, n_updates)
        for seed, gap, spma_line, npg_line, spg_line in zip(
            seeds, gaps, *(curves[name, n_arms].T for name in ("SPMA", "NPG", "SPG")), strict=True
        ):
            rows.append(
                {
                    "n_arms": n_arms,
                    "seed": seed,
                    "gap": gap,
                    "spma_slope": rate(spma_line, high, low),
                    "spma_theory": float(np.log1p(-eta * gap)),
                    "npg_slope": rate(npg_line, high, low),
                    "npg_theory": -eta * gap,
                    "spma_to_1e-8": first_below(spma_line, 1e-8),
                    "npg_to_1e-8": first_below(npg_line, 1e-8),
                    "spg_to_1e-3": first_below(spg_line, 1e-3),
                    "spg_power": power(spg_line[1:], settings["spg_updates"] // 4),
                    "over_bound": _over_bound(spma_line, n_arms, eta * gap),
                }
            )
    return Outcome(rows, _findings(rows), _draw(curves, settings))


def _lines(bandits: FiniteMDP, regrets: Array, update: Callable[..., Array], step: float, n_updates: int) -> Array:
    """Suboptimality [T + 1, S] of every bandit."""
    return curve(
        lambda theta: update(bandits, theta, step),
        lambda theta: (SOFTMAX.probs(theta) * regrets).sum(-1),
        np.zeros(bandits.r.shape),
        n_updates,
    )[0]


def _over_bound(suboptimality: Array, n_arms: int, eta_gap: float) -> float:
    """The largest ratio of V* - V at iteration t to (1 - 1/K) exp(-eta gap t / K), over t."""
    bound = (1.0 - 1.0 / n_arms) * np.exp(-eta_gap * np.arange(len(suboptimality)) / n_arms)
    return float((suboptimality / bound).max())


def _findings(rows: list[dict[str, Any]]) -> list[Finding]:
    off = {
        rule: max(abs(row[f"{rule}_slope"] / row[f"{rule}_theory"] - 1.0) for row in rows) for rule in ("spma", "npg")
    }
    easy, hard = (choose(rows, key=lambda row: row["gap"]) for choose in (max, min))
    spread = hard["spma_to_1e-8"] / easy["spma_to_1e-8"]
    powers = [row["spg_power"] for row in rows]
    worst = max(row["over_bound"] for row in rows)
    later = max(abs(row["spma_to_1e-8"] / row["npg_to_1e-8"] - 1.0) for row in rows if row["gap"] < 0.1)
    stated = max(abs(row["spma_theory"] / row["npg_theory"] - 1.0) for row in rows)
    return [
        Finding(
            "SPMA with a constant step converges linearly on bandits",
            HOLDS if off["spma"] <= 0.02 else FAILS,
            f"d log(suboptimality)/dt is log(1 - eta gap) within {100 * off['spma']:.2g} % on {len(rows)} bandits, "
            "e.g. " + "; ".join(_slope(row, "spma") for row in (easy, hard)),
        ),
        Finding(
            "at the rate of the natural policy gradient",
            HOLDS if off["npg"] <= 0.02 and later <= 0.05 else FAILS,
            f"NPG's is -eta gap within {100 * off['npg']:.2g} %, e.g. "
            + "; ".join(_slope(row, "npg") for row in (easy, hard))
            + f"; SPMA's slope is the steeper one, by up to {100 * stated:.0f} % at the largest gap; updates to 1e-8 "
            "within "
            f"{100 * later:.2g} % of each other where gap < 0.1",
        ),
        Finding(
            "the rate does not depend on constants of the problem",
            FAILS if spread > 2.0 else HOLDS,
            f"it is eta times the gap: {easy['spma_to_1e-8']:.0f} updates to 1e-8 at gap {easy['gap']:.3g}, "
            f"{hard['spma_to_1e-8']:.0f} at gap {hard['gap']:.3g}",
        ),
        Finding(
            "suboptimality <= (1 - 1/K) exp(-eta gap T / K) from the uniform policy",
            HOLDS if worst <= 1.0 else FAILS,
            f"largest ratio to the bound over all T: {worst:.3g}; the exponent is K times too small in the limit",
        ),
        Finding(
            "softmax policy gradient converges as 1/t only",
            HOLDS if max(abs(p + 1.0) for p in powers) <= 0.05 else FAILS,
            f"d log(suboptimality)/d log(t) from {min(powers):.4f} to {max(powers):.4f}; updates to 1e-3: "
            f"{min(row['spg_to_1e-3'] for row in rows):.0f} to {max(row['spg_to_1e-3'] for row in rows):.0f}",
            paper="2411.12042, section 3; Mei et al. 2020",
        ),
    ]


def _slope(row: Mapping[str, Any], rule: str) -> str:
    return f"{row[f'{rule}_slope']:.5g} ({row[f'{rule}_theory']:.5g}) for {row['n_arms']} arms, gap {row['gap']:.3g}"


def _draw(curves: Mapping[tuple[str, int], Array], settings: Mapping[str, Any]) -> Any:
    figure, axes = panels(2)
    for color, n_arms in enumerate(settings["n_arms"]):
        axes[0].plot(curves["SPMA", n_arms][:, 0], f"C{color}-", label=f"SPMA, {n_arms} arms")
        axes[0].plot(curves["NPG", n_arms][:, 0], f"C{color}--", lw=1, label="NPG")
        axes[1].plot(*thinned(curves["SPG", n_arms][1:, 0]), f"C{color}-", label=f"SPG, {n_arms} arms")
    times = np.array([1e2, settings["spg_updates"]])
    axes[1].plot(times, 0.5 / times, "k:", label="1 / (2 t)")
    axes[0].set(yscale="log", ylim=(1e-16, 1), xlim=(0, 1500), xlabel="updates", ylabel="suboptimality V* - V")
    axes[1].set(xscale="log", yscale="log", xlabel="updates")
    axes[0].set_title(f"linear: SPMA and NPG, eta = {settings['eta']:g}")
    axes[1].set_title("O(1/t): softmax policy gradient")
    for one in axes:
        legend(one)
    return figure


EXPERIMENT = Experiment(
    paper="2411.12042, section 3",
    reduced={
        "n_arms": [2, 5, 10, 50],
        "seeds": [0, 1, 2],
        "min_gap": 0.01,
        "eta": 1.0,
        "fit_between": [1e-20, 1e-40],
        "spg_updates": 20000,
    },
    full={"seeds": list(range(20)), "min_gap": 0.001, "spg_updates": 1000000},
    run=run,
)
