"""Lin-SPG's rate: 1/T with a constant step, over six decades of step sizes; exponential with a normalised one.

Exact updates from theta = 0 on example 1 of the paper and on the good one of the pair of equal error, whose Fisher
matrix is followed: a rate other than 1/T would need its smallest eigenvalue to stay away from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular import lin_spg_update
from agents.tabular.checks import Array
from agents.tabular.lin_spg import exact_rate

from ..fits import first_below, power, rate
from ..flow import SOFTMAX, direction
from ..iterate import curve
from ..plots import legend, panels, thinned
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track
from ._four_arms import arms

COMMITTED = 1e-9  # less than this is left when a few huge steps decide everything: then nothing moves any more


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Curves by constant and by normalised step."""
    rows, curves, eigenvalues = [], {}, {}
    for name in track(settings["instances"]):
        X, r = arms(name)
        etas = np.array([exact_rate(X, r), *settings["etas"]])
        gaps, theta = _constant(X, r, etas, settings["n_updates"])
        shown = theta[1 + settings["etas"].index(settings["shown_eta"])]
        eigenvalues[name] = [_fisher(X, np.zeros(len(X))), _fisher(X, X @ shown)]
        curves[name] = dict(zip(etas.tolist(), gaps.T, strict=True))
        rows += [_row(name, "constant", eta, line, settings) for eta, line in curves[name].items()]
        c = settings["normalised_step"]
        curves[name]["normalised"] = _normalised(X, r, c, settings["normalised_updates"])
        rows.append(_row(name, "normalised", c, curves[name]["normalised"], settings))
    return Outcome(rows, _findings(rows, curves, eigenvalues, settings), _draw(curves, settings))


def _constant(X: Array, r: Array, etas: Array, n_updates: int) -> tuple[Array, Array]:
    """Suboptimality [T + 1, E] and the last theta [E, d], from 0."""
    return curve(
        lambda theta: lin_spg_update(X, r, theta, etas),
        lambda theta: SOFTMAX.probs(theta @ X.T) @ (r.max() - r),
        np.zeros((len(etas), X.shape[1])),
        n_updates,
    )


def _normalised(X: Array, r: Array, step: float, n_updates: int) -> Array:
    """Suboptimality [T + 1] with steps of one length, from 0."""
    return curve(
        lambda theta: theta + step * direction(X, r, theta),
        lambda theta: SOFTMAX.probs(theta @ X.T) @ (r.max() - r),
        np.zeros((1, X.shape[1])),
        n_updates,
    )[0][:, 0]


def _fisher(X: Array, logits: Array) -> float:
    """The smallest eigenvalue of X^T (diag pi - pi pi^T) X."""
    probs = SOFTMAX.probs(logits)
    centred = X - probs @ X
    return float(np.linalg.eigvalsh((centred * probs[:, None]).T @ centred)[0])


def _row(name: str, kind: str, eta: float, line: Array, settings: Mapping[str, Any]) -> dict[str, Any]:
    constant = kind == "constant"
    return {
        "instance": name,
        "step": kind,
        "eta": eta,
        "to_0.1": first_below(line, 0.1),
        "last": float(line[-1]),
        "t_times_last": float((len(line) - 1) * line[-1]) if constant else np.nan,
        "power": power(line[1:], settings["fit_from"]) if constant else np.nan,
        "rate": np.nan if constant else rate(line, 1e-2, 1e-9),
    }


def _findings(
    rows: list[dict[str, Any]],
    curves: Mapping[str, Any],
    eigenvalues: Mapping[str, list[float]],
    settings: Mapping[str, Any],
) -> list[Finding]:
    constant = [row for row in rows if row["step"] == "constant"]
    moving = [row for row in constant if row["last"] > COMMITTED]
    late = [row for row in moving if row["eta"] * settings["n_updates"] >= settings["least_flow_time"]]
    off = max(abs(row["power"] + 1.0) for row in late)
    learnt = [row for row in constant if np.isfinite(row["to_0.1"])]
    normalised = {row["instance"]: row["rate"] for row in rows if row["step"] == "normalised"}
    name, eta = settings["instances"][-1], settings["shown_eta"]
    line = curves[name][eta]
    shown = ", ".join(f"{t * line[t]:.3f} (t = {t})" for t in (100, 1000, 10000, settings["n_updates"]))
    first, end = eigenvalues[name]
    within = [curves[row["instance"]][row["eta"]] for row in constant[:: len(settings["etas"]) + 1]]
    monotone = all((np.diff(one) <= 1e-12).all() for one in within)
    early = max(abs(row["power"] + 1.0) for row in moving)
    times = "; ".join(
        f"{n}: " + ", ".join(f"{row['to_0.1']:.0f} (eta {row['eta']:.3g})" for row in constant if row["instance"] == n)
        for n in settings["instances"]
    )
    return [
        Finding(
            "exact Lin-SPG converges as 1/T with a constant step",
            HOLDS if off <= 0.02 else FAILS,
            f"d log(suboptimality)/d log(T) from T = {settings['fit_from']}, eta T >= {settings['least_flow_time']:g}: "
            + "; ".join(f"{row['power']:.4f} (eta {row['eta']:.3g}, {row['instance']})" for row in late)
            + f"; within {100 * early:.1f} % for all smaller eta; T times suboptimality, {name}, eta = {eta:g}: "
            f"{shown}",
        ),
        Finding(
            "the step must stay below 4 / (9 R_max lambda_max(X^T X))",
            "holds under monotone ascent as the aim, not for convergence"
            if monotone and len(learnt) == len(constant)
            else HOLDS,
            f"within the limit no update goes down; on these instances every eta up to {max(settings['etas']):g} "
            "converges, and the "
            f"larger the faster; updates to 0.1: {times}",
        ),
        Finding(
            "a step normalised by the gradient, c / |grad|, converges as 1/T as well",
            FAILS if max(normalised.values()) < -0.01 else HOLDS,
            "it is exponential: d log(suboptimality)/dt = "
            + ", ".join(f"{value:.3g} ({n})" for n, value in normalised.items())
            + f" at c = {settings['normalised_step']:g}; after 10, 100 updates {curves[name]['normalised'][10]:.2g}, "
            f"{curves[name]['normalised'][100]:.2g} ({name})",
            paper="not in the paper",
        ),
        Finding(
            "the Fisher matrix stays positive definite along the way",
            FAILS if end < 1e-3 * first else HOLDS,
            f"smallest eigenvalue {first:.2g} at theta = 0, {end:.2g} after {settings['n_updates']} updates ({name}, "
            f"eta = {eta:g}): "
            "it goes to 0 with 1 - pi(a*), which is what makes the rate 1/T",
            paper="an assumption of linear rates elsewhere",
        ),
    ]


def _draw(curves: Mapping[str, Mapping[Any, Array]], settings: Mapping[str, Any]) -> Any:
    figure, axes = panels(len(curves) + 1)
    for one, (name, lines) in zip(axes, curves.items(), strict=False):
        for eta, line in lines.items():
            if eta != "normalised" and line[-1] > COMMITTED:
                one.plot(*thinned(line[1:]), label=f"eta = {eta:.3g}")
        one.set(
            xscale="log",
            yscale="log",
            ylim=(1e-7, 5),
            xlabel="updates T",
            title=f"{name}; larger steps: < {COMMITTED:g}",
        )
        legend(one)
    for name, lines in curves.items():
        axes[-1].plot(lines["normalised"], label=name)
    axes[-1].set(
        yscale="log", ylim=(1e-14, 5), xlabel="updates", title=f"normalised step, c = {settings['normalised_step']:g}"
    )
    axes[0].set_ylabel("suboptimality <pi*, r> - <pi, r>")
    legend(axes[-1])
    return figure


EXPERIMENT = Experiment(
    paper="2505.03155, theorem 1",
    reduced={
        "instances": ["paper 1", "equal error, good"],
        "etas": [0.1, 1.0, 10.0, 100.0, 1000.0],
        "shown_eta": 0.1,
        "n_updates": 40000,
        "fit_from": 10000,
        "least_flow_time": 10000.0,
        "normalised_step": 0.1,
        "normalised_updates": 200,
    },
    full={"n_updates": 1000000, "fit_from": 100000, "etas": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0]},
    run=run,
)
