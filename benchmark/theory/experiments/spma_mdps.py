"""SPMA on exact MDPs: its linear rate and the theorem's, next to NPG and to the policy gradient with its best step.

Every state's own bandit decides near the optimum: V* - V falls by log(1 - eta gap) there, gap the least distance of the
best two actions in Q*; NPG by eta gap. The theorem bounds each update by 1 - eta C_t (1 - gamma), C_t = min_s
pi_t(best action) (gap of Q^pi_t). Step sizes are compared by the updates they take to 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np

from agents.tabular import FiniteMDP, TabularPolicy, npg, spg, spg_theory_step, spma, spma_capped
from agents.tabular.checks import Array

from .. import problems
from ..fits import rate
from ..iterate import curve, hitting_times
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = TabularPolicy()
RULES = {"SPMA": spma, "NPG": npg, "SPG": spg}


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Rates, the bound of every update, and updates to 1e-3 by rule and step."""
    rows, curves = [], {}
    for n_states, n_actions, gamma, min_gap in track(settings["mdps"]):
        mdp, seed = _with_gap(n_states, n_actions, gamma, min_gap)
        name = f"{n_states} x {n_actions}, gamma={gamma:g}, seed {seed}"
        eta, gap = 1.0 - gamma, _gaps(mdp.optimal()[1])
        high, low = settings["fit_between"]
        slopes = {}
        for rule in ("SPMA", "NPG"):
            curves[name, rule] = _line(mdp, rule, eta, int(1.2 * -np.log(low) / (eta * gap.min())))
            slopes[rule] = rate(curves[name, rule], high, low)
        common = {"mdp": name, "gamma": gamma, "gap": float(gap.min())}
        for rule, slope, theory in (
            ("SPMA", slopes["SPMA"], float(np.log1p(-eta * gap.min()))),
            ("NPG", slopes["NPG"], float(-eta * gap.min())),
        ):
            bound = _over_bound(mdp, eta, settings["bound_updates"]) if rule == "SPMA" else np.nan
            rows.append(
                {
                    **common,
                    "rule": rule,
                    "step": eta,
                    "slope": slope,
                    "theory": theory,
                    "over_bound": bound,
                    "to_1e-3": np.nan,
                }
            )
        rows += [{**common, **row} for row in _step_sizes(mdp, settings)]
    lakes = _terminal_states(settings)
    return Outcome(rows, _findings(rows, lakes, settings), _draw(curves, rows))


def _with_gap(n_states: int, n_actions: int, gamma: float, min_gap: float) -> tuple[FiniteMDP, int]:
    """The first random MDP whose gaps in Q* are at least `min_gap`, and its seed."""
    for seed in count():
        mdp = problems.random_mdp(n_states, n_actions, seed, gamma)
        if _gaps(mdp.optimal()[1]).min() >= min_gap:
            return mdp, seed
    raise AssertionError


def _line(mdp: FiniteMDP, rule: str, eta: float, n_updates: int) -> Array:
    """max_s V*(s) - V(s), [T + 1]."""
    start = np.zeros(mdp.r.shape)
    return curve(lambda theta: RULES[rule](mdp, theta, eta), lambda theta: _error(mdp, theta), start, n_updates)[0]


def _error(mdp: FiniteMDP, theta: Array) -> Array:
    """max_s V*(s) - V(s)."""
    return mdp.suboptimality(SOFTMAX.probs(theta)).max(-1)


def _gaps(Q: Array) -> Array:
    """The distance of the best two actions in every state."""
    best = np.sort(Q, axis=-1)
    return best[..., -1] - best[..., -2]


def _over_bound(mdp: FiniteMDP, eta: float, n_updates: int) -> float:
    """The largest excess over t of error_{t+1} / error_t above 1 - eta C_t (1 - gamma)."""
    theta, excess = np.zeros(mdp.r.shape), -np.inf
    error = _error(mdp, theta)
    for _ in range(n_updates):
        probs = SOFTMAX.probs(theta)
        Q = mdp.evaluate(probs)[1]
        C = float((np.take_along_axis(probs, Q.argmax(-1)[:, None], 1)[:, 0] * _gaps(Q)).min())
        theta = spma(mdp, theta, eta)
        error, last = _error(mdp, theta), error
        excess = max(excess, float(error / last) - (1.0 - eta * C * (1.0 - mdp.gamma)))
    return excess


def _step_sizes(mdp: FiniteMDP, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Updates to 1e-3 of every rule by step: SPMA and NPG in units of 1 - gamma, SPG's theoretical step and larger."""
    in_range = [share * (1.0 - mdp.gamma) for share in settings["eta_shares"]]
    grids = {
        "SPMA": in_range,
        "NPG": [*in_range, *settings["npg_etas"]],
        "SPG": [spg_theory_step(mdp), *settings["spg_steps"]],
        "SPMA, capped": settings["capped"],
    }
    rows = []
    for rule, steps in grids.items():
        times = _times(mdp, rule, np.array(steps), settings["most_updates"])
        empty = {"slope": np.nan, "theory": np.nan, "over_bound": np.nan}
        rows += [
            {"rule": rule, "step": step, **empty, "to_1e-3": time}
            for step, time in zip(steps, times.tolist(), strict=True)
        ]
    return rows


def _times(mdp: FiniteMDP, rule: str, steps: Array, n_updates: int) -> Array:
    """Updates until max_s V* - V <= 1e-3, by step."""
    return hitting_times(
        lambda theta, runs: _update(mdp, rule, theta, steps[runs]),
        lambda theta: _error(mdp, theta),
        np.zeros((len(steps), *mdp.r.shape)),
        [1e-3],
        n_updates,
    )[:, 0]


def _update(mdp: FiniteMDP, rule: str, theta: Array, steps: Array) -> Array:
    if rule == "SPMA, capped":
        return np.concatenate(
            [spma_capped(mdp, one[None], float(step)) for one, step in zip(theta, steps, strict=True)]
        )
    return RULES[rule](mdp, theta, steps)


def _terminal_states(settings: Mapping[str, Any]) -> tuple[float, float]:
    """FrozenLake: C_0, which is 0 in absorbing states, and the error left over its start after some capped updates."""
    mdp = problems.frozen_lake(settings["lake_gamma"])
    Q = mdp.evaluate(SOFTMAX.probs(np.zeros(mdp.r.shape)))[1]
    errors = curve(
        lambda theta: spma_capped(mdp, theta),
        lambda theta: _error(mdp, theta),
        np.zeros(mdp.r.shape),
        settings["lake_updates"],
    )[0]
    return float(_gaps(Q).min()) / mdp.n_actions, float(errors[-1] / errors[0])


def _findings(rows: list[dict[str, Any]], lake: tuple[float, float], settings: Mapping[str, Any]) -> list[Finding]:
    fitted = [row for row in rows if np.isfinite(row["slope"])]
    off = max(abs(row["slope"] / row["theory"] - 1.0) for row in fitted)
    pairs = [(a["slope"], b["slope"], a["mdp"]) for a, b in zip(fitted[::2], fitted[1::2], strict=True)]
    apart = max(abs(a / b - 1.0) for a, b, _ in pairs)
    excess = max(row["over_bound"] for row in fitted if row["rule"] == "SPMA")
    names = list(dict.fromkeys(row["mdp"] for row in rows))
    best = {rule: [_best(rows, name, rule) for name in names] for rule in ("SPMA", "SPMA, capped", "NPG", "SPG")}
    behind = [i for i in range(len(names)) if best["SPG"][i] < best["SPMA"][i]]
    behind_capped = [i for i in range(len(names)) if best["SPG"][i] < best["SPMA, capped"][i]]
    theory = [row["to_1e-3"] for row in rows if row["rule"] == "SPG" and row["step"] < 1e-2]
    return [
        Finding(
            "on MDPs SPMA with eta = 1 - gamma converges linearly, at the rate of the natural policy gradient",
            HOLDS if off <= 0.02 and apart <= 0.02 else FAILS,
            "slopes of SPMA and NPG: "
            + "; ".join(f"{a:.4g}, {b:.4g} ({name})" for a, b, name in pairs)
            + f"; within {100 * off:.2g} % of log(1 - eta gap), -eta gap, gap that of Q*, and {100 * apart:.2g} % of "
            "each other",
        ),
        Finding(
            "each update contracts max_s V* - V by 1 - eta C_t (1 - gamma)",
            HOLDS if excess <= 1e-9 else FAILS,
            f"largest excess over the bound in {settings['bound_updates']} updates of each MDP: {excess:.2g}; "
            f"with absorbing states, as in FrozenLake, C_t = {lake[0]:g} and the bound says nothing, though the error "
            f"falls to {lake[1]:.1g} of the first in {settings['lake_updates']} capped updates",
        ),
        Finding(
            "SPMA is ahead of the softmax policy gradient",
            HOLDS if not behind else "holds under steps of the policy gradient that are not tuned",
            f"updates to 1e-3, best eta <= 1 - gamma: SPMA {_range(best['SPMA'])}, SPG with its best step of "
            f"{', '.join(f'{s:g}' for s in settings['spg_steps'])}: {_range(best['SPG'])} (ahead on {len(behind)} of "
            f"{len(names)}), "
            f"with its theoretical step, (1-gamma)^3 / 8: {_range(theory)}",
        ),
        Finding(
            "larger steps than 1 - gamma help SPMA",
            HOLDS if all(a < b for a, b in zip(best["SPMA, capped"], best["SPMA"], strict=True)) else FAILS,
            f"eta = min(cap, 0.999 / max(-A)), updates to 1e-3: {_range(best['SPMA, capped'])}, against "
            f"{_range(best['SPMA'])} "
            f"with eta <= 1 - gamma; SPG's best step is ahead of it on {len(behind_capped)} of {len(names)}; NPG, "
            "which has no "
            f"such limit, {_range(best['NPG'])} with eta = {max(settings['npg_etas']):g} or less",
        ),
    ]


def _best(rows: list[dict[str, Any]], name: str, rule: str) -> float:
    times = [row["to_1e-3"] for row in rows if row["mdp"] == name and row["rule"] == rule]
    return float(np.nanmin(times))


def _range(times: list[float]) -> str:
    low, high = min(times), max(times)
    return f"{low:.0f} to {high:.0f}" if np.isfinite(high) else f"{low:.0f} to never" if np.isfinite(low) else "never"


def _draw(curves: Mapping[tuple[str, str], Array], rows: list[dict[str, Any]]) -> Any:
    figure, axes = panels(2)
    for color, name in enumerate(dict.fromkeys(name for name, _ in curves)):
        axes[0].plot(curves[name, "SPMA"], f"C{color}-", label=name)
        axes[0].plot(curves[name, "NPG"], f"C{color}--", lw=1)
    first = next(iter(curves))[0]
    for rule, style in (("SPG", "o-"), ("SPMA", "s-"), ("SPMA, capped", "D-"), ("NPG", "x--")):
        mine = [row for row in rows if row["mdp"] == first and row["rule"] == rule and not np.isnan(row["to_1e-3"])]
        mine = sorted((row for row in mine if np.isfinite(row["to_1e-3"])), key=lambda row: row["step"])
        axes[1].plot([row["step"] for row in mine], [row["to_1e-3"] for row in mine], style, ms=6, label=rule)
    axes[0].set(yscale="log", ylim=(1e-16, 20), xlim=(0, 8000), xlabel="updates", ylabel="max_s V* - V")
    axes[0].set_title("SPMA (full), NPG (dashed), eta = 1 - gamma")
    axes[1].set(xscale="log", yscale="log", xlabel="step size (capped SPMA: its cap)", ylabel="updates to 1e-3")
    axes[1].set_title(first)
    for one in axes:
        legend(one)
    return figure


EXPERIMENT = Experiment(
    paper="2411.12042, section 3",
    reduced={
        "mdps": [[10, 4, 0.9, 0.03], [5, 3, 0.9, 0.05], [5, 3, 0.95, 0.1]],
        "fit_between": [1e-9, 1e-14],
        "bound_updates": 300,
        "eta_shares": [0.3, 1.0],
        "npg_etas": [1.0, 10.0],
        "spg_steps": [1.0, 3.0, 10.0, 30.0, 100.0],
        "capped": [1.0, 10.0],
        "most_updates": 3000,
        "lake_gamma": 0.9,
        "lake_updates": 300,
    },
    full={
        "mdps": [[s, a, g, gap] for s, a in ((5, 3), (10, 4)) for g in (0.9, 0.99) for gap in (0.003, 0.01, 0.05)],
        "most_updates": 20000,
    },
    run=run,
)
