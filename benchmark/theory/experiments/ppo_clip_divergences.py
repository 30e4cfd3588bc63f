"""PPO-Clip with six regularisers, from the uniform policy and from logits far towards the worst action.

The clipped double loop with exact advantages on random MDPs. A naming trap: the paper calls KL(ref || pi) the forward
KL and KL(pi || ref) the reverse one, as is usual for language models; by the generators' names here they are
`reverse_kl` (f = -log u) and `kl` (f = u log u). A start L has, in every state, the worst action's logit L above the
others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.geometry import KL, divergence_from_name
from agents.tabular import FiniteMDP, Regularizer, TabularPolicy, ppo_clip, value
from agents.tabular.checks import Array
from agents.tabular.operators import TINY

from .. import problems
from ..fits import first_below, rate, slope
from ..iterate import curve
from ..local_rate import slowest_mode
from ..plots import legend, panels, thinned
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

FORWARD, REVERSE = "reverse_kl", "kl"  # as the paper calls them
LABELS = {FORWARD: "KL(ref || pi), the paper's forward", REVERSE: "KL(pi || ref), the paper's reverse"}
STUCK = 0.99  # of the initial suboptimality is left


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Curves for every seed, regulariser, coefficient and number of inner steps, all starts side by side."""
    rows, curves = [], {}
    variants = [(name, settings["coef"], 1) for name in settings["divergences"]]
    for name in (FORWARD, REVERSE):
        variants += [(name, settings["large_coef"], 1), (name, settings["coef"], settings["n_inner"])]
    for seed, (name, coef, n_inner) in track([(seed, variant) for seed in settings["seeds"] for variant in variants]):
        mdp = problems.random_mdp(**settings["mdp"], seed=seed)
        gaps, apart, mode = _follow(mdp, name, coef, n_inner, settings)
        curves[seed, name, coef, n_inner] = gaps
        for i, far in enumerate(settings["starts"]):
            gap = gaps[:, i]
            rows.append(
                {"seed": seed, "divergence": name, "coef": coef, "n_inner": n_inner, "start": far}
                | {"first": float(gap[0]), "last": float(gap[-1]), "updates": first_below(gap, settings["goal"])}
                | {"slope": _slope(apart[:, i], settings["fit_between"]) if n_inner == 1 else float("nan")}
                | {"local_theory": 2.0 * float(np.log1p(-settings["step"] * mode)) if n_inner == 1 else float("nan")}
                | {"monotone": int((np.diff(gap) <= 1e-12).all())}
            )
    return Outcome(rows, _findings(settings, rows), _draw(settings, curves))


def _follow(
    mdp: FiniteMDP, name: str, coef: float, n_inner: int, settings: Mapping[str, Any]
) -> tuple[Array, Array, float]:
    """V*(rho) - V(rho), regularised, and |log pi - log pi*|, [n_updates + 1, starts]; the optimum's slowest mode."""
    divergence = divergence_from_name(name)
    V, Q, best = mdp.optimal_regularized(divergence, coef)
    log_best = np.log(np.maximum(best, TINY))
    starts = np.array(settings["starts"])[:, None, None]
    policy, regularizer = TabularPolicy(), Regularizer(divergence, coef)

    def measure(theta: Array) -> Array:
        apart = theta - log_best
        apart = apart - apart.mean(-1, keepdims=True)
        return np.stack([V @ mdp.rho - value(mdp, policy, theta, regularizer), np.linalg.norm(apart, axis=(-2, -1))])

    found, _ = curve(
        lambda theta: ppo_clip(mdp, theta, divergence, coef, settings["step"], n_inner, settings["clip_range"]),
        measure,
        starts * np.eye(mdp.n_actions)[Q.argmin(-1)],
        settings["n_updates"],
    )
    return found[:, 0], found[:, 1], slowest_mode(mdp, best, KL(), divergence, coef)


def _slope(apart: Array, between: tuple[float, float]) -> float:
    """d log(V* - V) / dt, twice that of the distance, which can be followed further down; nan if it is not as near."""
    low, high = between
    return 2.0 * rate(apart, high, low) if apart[-1] < low else float("nan")


def _findings(settings: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    starts, coef, many = settings["starts"], settings["coef"], settings["n_inner"]

    def chosen(name: str, coef: float = coef, n_inner: int = 1) -> list[dict[str, Any]]:
        return [row for row in rows if (row["divergence"], row["coef"], row["n_inner"]) == (name, coef, n_inner)]

    def times(name: str, n_inner: int = 1) -> Array:  # [seeds, starts]
        return np.array([row["updates"] for row in chosen(name, coef, n_inner)]).reshape(-1, len(starts))

    def told(name: str) -> str:
        medians = np.median(times(name), axis=0)
        return "/".join(f"{m:.0f}" if np.isfinite(m) else f">{settings['n_updates']}" for m in medians)

    def stuck(name: str) -> float:
        keeps = [[row["last"] > STUCK * row["first"] for row in chosen(name) if row["start"] == far] for far in starts]
        return min((far for far, kept in zip(starts, keeps, strict=True) if all(kept)), default=float("inf"))

    def fast_enough(rows: list[dict[str, Any]]) -> bool:  # a start may leave out the slowest mode; False for nan
        return all(row["slope"] <= 0.98 * row["local_theory"] for row in rows)

    def off(rows: list[dict[str, Any]]) -> float:
        return float(np.median([abs(row["slope"] / row["local_theory"] - 1.0) for row in rows]))

    def slopes(rows: list[dict[str, Any]]) -> str:
        return ", ".join(f"{row['slope']:.3g}" for row in rows if row["start"] == 0.0)

    forward, strong = chosen(FORWARD), chosen(FORWARD, settings["large_coef"])
    near = [row for row in chosen(REVERSE, settings["large_coef"]) if row["start"] == 0.0]
    weak = [row["local_theory"] for row in chosen(REVERSE) if row["start"] == 0.0]
    per_gap = [slope(starts[1:], line[1:]) for line in times(FORWARD)]
    fewer = times(FORWARD) / times(FORWARD, many)
    others = [name for name in settings["divergences"] if name not in (FORWARD, REVERSE)]
    label = "/".join(f"{far:g}" for far in starts)
    return [
        Finding(
            "PPO-Clip with KL(ref || pi) (the paper's forward KL) converges linearly from any start",
            HOLDS if np.isfinite(times(FORWARD)).all() and fast_enough([*forward, *strong]) else FAILS,
            f"updates to {settings['goal']:g} from a wrong gap of {label} (medians): {told(FORWARD)}, "
            f"{min(per_gap):.0f} to {max(per_gap):.0f} more per unit of the gap; slopes by seed {slopes(forward)}, "
            f"with coef = {settings['large_coef']:g} {slopes(strong)}, a median of "
            f"{100 * off([*forward, *strong]):.1g} % from the local theory",
        ),
        Finding(
            "PPO-Clip with KL(pi || ref) (the paper's reverse KL) converges linearly, but only from near starts",
            HOLDS if fast_enough(near) and np.isfinite(stuck(REVERSE)) else FAILS,
            f"updates from {label}: {told(REVERSE)}; from {stuck(REVERSE):g} on over {100 * STUCK:.0f} % of the "
            f"suboptimality is left; slopes from 0 with coef = {settings['large_coef']:g} {slopes(near)}, a "
            f"median of {100 * off(near):.1g} % from the local theory; with coef = {coef:g} it says {max(weak):.1g} "
            f"to {min(weak):.1g}, too slow to be seen",
        ),
        Finding(
            "the other divergences converge from near starts only",
            HOLDS if all(np.isinf(times(name)[:, -1]).all() for name in others) else FAILS,
            "; ".join(f"{name}: {told(name)}" for name in others)
            + "; all are bounded at pi = 0, only KL(ref || pi) is not",
            paper="own claim, after 2512.16565",
        ),
        Finding(
            f"{many} inner steps per outer update save outer updates",
            HOLDS if (fewer > 1.0).all() else FAILS,
            f"with KL(ref || pi) {fewer.min():.1f} to {fewer.max():.1f} times fewer; "
            f"{sum(row['monotone'] for row in rows)} of all {len(rows)} runs never go down",
            paper="own claim, after 2512.16565",
        ),
    ]


def _draw(settings: Mapping[str, Any], curves: Mapping[tuple[int, str, float, int], Array]) -> Any:
    names = settings["divergences"]
    figure, axes = panels(3, -(-len(names) // 3), width=4.2, height=3.2)
    for one, name in zip(axes.flat, names, strict=False):
        for i, far in enumerate(settings["starts"]):
            gaps = curves[settings["seeds"][0], name, settings["coef"], 1][:, i]
            one.plot(*thinned(np.where(gaps > 1e-13, gaps, np.nan)), label=f"L = {far:g}")
        one.set(xscale="log", yscale="log", ylim=(1e-13, 30), xlabel="outer updates", ylabel="V* - V, regularised")
        one.set_title(LABELS.get(name, name), fontsize=10)
    for one in list(axes.flat)[len(names) :]:
        one.set_visible(False)
    legend(axes[0, 0])
    return figure


EXPERIMENT = Experiment(
    paper="2512.16565, theorems 2 and 3",
    reduced={
        "mdp": {"n_states": 5, "n_actions": 3, "gamma": 0.9},
        "coef": 0.1,
        "large_coef": 0.5,
        "step": 0.5,
        "clip_range": 0.2,
        "n_inner": 10,
        "divergences": [FORWARD, REVERSE, "tsallis:0.5", "tsallis:0.1", "js", "chi2"],
        "starts": [0.0, 5.0, 10.0, 20.0, 40.0],
        "seeds": [0, 1],
        "goal": 0.01,
        "fit_between": [1e-11, 1e-8],
        "n_updates": 3000,
    },
    full={"seeds": [*range(20)], "n_updates": 30000},
    run=run,
)
