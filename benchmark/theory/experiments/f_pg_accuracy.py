"""The time to be eps-optimal without regulariser, by regularising with coef ~ eps: 1/eps to a power, or exp(1/eps)?

The two-armed bandit with rewards 1 and 0. With coef = eps / (2 max D_f) the regulariser costs eps / 2 at most. The
gradient flow of the logit gap g, dg/dt = 2 w w' / (w + w') (1 - coef g), is integrated from g = 0 and from the far end
of the region |g| <= 1 / coef, where the Lojasiewicz constant is attained, up to pi(bad) = eps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.geometry import KL, Divergence, Tsallis
from agents.tabular.checks import Array
from agents.tabular.operators import divergence_of, f_prime_of, sensitivity, softargmax

from ..fits import slope
from ..plots import legend, panels
from ..registry import CONDITION, FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX, TUNED = 1.0, 0.0  # TUNED: alpha = 11 / (2 log(1/eps))
STARTS = ("uniform", "far")
BEYOND = 1e250  # the softmax's probabilities end at 1e-300, and no longer time can be told


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Times for every alpha, eps and start."""
    rows = []
    for alpha in track([SOFTMAX, *settings["alphas"], TUNED]):
        for eps in settings["eps"]:
            value = tuned(eps) if alpha == TUNED else alpha
            if not value <= 1.0:
                continue
            divergence = KL() if value == 1.0 else Tsallis(value)
            coef = eps / (2.0 * float(divergence_of(np.array([1.0, 0.0]), divergence)))
            for start in STARTS:
                time = _time(divergence, coef, eps, 0.0 if start == "uniform" else -1.0 / coef, settings["points"])
                rows.append(
                    {"alpha": alpha, "start": start, "eps": eps, "alpha_used": value, "coef": coef, "time": time}
                )
    return Outcome(rows, _findings(settings, rows), _draw(rows))


def tuned(eps: float) -> float:
    """alpha = 11 / (2 log(1/eps)), as the paper sets it: above 1 for eps > exp(-5.5)."""
    return 11.0 / (2.0 * np.log(1.0 / eps))


def _time(divergence: Divergence, coef: float, eps: float, start: float, points: int) -> float:
    """Time of the flow from gap `start` to pi(bad) = eps."""
    goal = f_prime_of(np.array([eps, 1.0 - eps]), divergence)
    end = float(goal[1] - goal[0])
    grid = np.linspace(0.0, 1.0, points) ** 3  # finest at gap 0, where the policy changes fast
    time = 0.0
    for gaps in (start * grid[::-1], end * grid):
        time += float(np.trapezoid(1.0 / (_speed(gaps, divergence) * (1.0 - coef * gaps)), gaps))
    return time if time < BEYOND else float("inf")


def _speed(gaps: Array, divergence: Divergence) -> Array:
    """dg/dt without regulariser at gaps [N] = theta(good) - theta(bad)."""
    w = sensitivity(softargmax(np.stack([np.zeros_like(gaps), gaps], axis=-1), divergence), divergence)
    return 2.0 * w.prod(-1) / w.sum(-1)


def _findings(settings: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    def line(alpha: float, start: str) -> tuple[Array, Array]:
        mine = [row for row in rows if row["alpha"] == alpha and row["start"] == start]
        return np.array([row["eps"] for row in mine]), np.array([row["time"] for row in mine])

    def power(alpha: float, start: str) -> float:
        eps, times = line(alpha, start)
        return slope(np.log(1.0 / eps[-3:]), np.log(times[-3:]))

    alphas = settings["alphas"]
    eps, far = line(SOFTMAX, "far")
    finite = np.isfinite(far)
    exponent = slope(1.0 / eps[finite], np.log(far[finite]))
    from_far = all(power(a, "far") <= 12.0 for a in alphas) and exponent > 0.5
    near = power(SOFTMAX, "uniform")
    outside = [e for e in settings["eps"] if tuned(e) > 1.0]
    return [
        Finding(
            "to be eps-optimal KL needs exp(1/eps) updates, Tsallis a power of 1/eps (at most 12)",
            f"{CONDITION}far starts; from the uniform policy softmax is polynomial, too"
            if from_far and near < 12
            else HOLDS
            if from_far
            else FAILS,
            "degree in 1/eps (smallest three eps) from the far end of |g| <= 1/coef, from theta = 0: "
            + ", ".join(f"alpha={a:g}: {power(a, 'far'):.1f}, {power(a, 'uniform'):.2f}" for a in alphas)
            + f"; softmax: exp({exponent:.2g}/eps), {near:.2f}",
        ),
        Finding(
            "alpha = 11 / (2 log(1/eps)) can be used for any target eps",
            f"{CONDITION}eps < exp(-5.5) = {np.exp(-5.5):.2g}" if outside else HOLDS,
            f"it leaves (0, 1) at eps = {', '.join(f'{e:g} ({tuned(e):.2f})' for e in outside)}; at eps = "
            f"{settings['eps'][-1]:g} it gives {tuned(settings['eps'][-1]):.2f} and takes "
            f"{line(TUNED, 'far')[1][-1]:.1g} from far, {line(TUNED, 'uniform')[1][-1]:.1g} from theta = 0; alpha="
            f"{alphas[0]:g}: {line(alphas[0], 'far')[1][-1]:.1g}, {line(alphas[0], 'uniform')[1][-1]:.1g}",
        ),
    ]


def _draw(rows: list[dict[str, Any]]) -> Any:
    figure, axes = panels(2)
    for one, start in zip(axes, STARTS, strict=True):
        for alpha in dict.fromkeys(row["alpha"] for row in rows):
            mine = [row for row in rows if row["alpha"] == alpha and row["start"] == start]
            names = {SOFTMAX: "softmax", TUNED: "alpha = 11/(2 log(1/eps))"}
            style = {SOFTMAX: "k--", TUNED: "k:"}.get(alpha, "o-")
            label = names.get(alpha, f"alpha = {alpha:g}")
            one.plot([1.0 / r["eps"] for r in mine], [r["time"] for r in mine], style, ms=3, label=label)
        one.set(xscale="log", yscale="log", ylim=(1, 1e40), xlabel="1 / eps", ylabel="updates x step")
        legend(one)
    axes[0].set_title("from the uniform policy")
    axes[1].set_title("from logits 1 / coef apart, wrongly")
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, section 4 (unregularised target)",
    reduced={
        "alphas": [0.1, 0.3, 0.5],
        "eps": [0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4],
        "points": 20001,
    },
    full={"points": 1000001},
    run=run,
)
