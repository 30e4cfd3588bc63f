"""LCO with dense and with sparse advantages: natural policy gradient against policy gradient.

Dense: every action's advantage moves its logit, and the exact minimiser of each of the three losses is z + A / beta.
Sparse: the sampled action's alone, here in expectation over the action. A bandit and a random MDP, every update solved
exactly; the same by inner gradient steps; and the dense form under a Tsallis head, where it is dual averaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.geometry import Tsallis
from agents.tabular import FiniteMDP, TabularPolicy, lco, npg, spg
from agents.tabular.checks import Array
from agents.tabular.logits_convex import FORMS, MATCHES

from .. import problems
from ..fits import power, rate
from ..iterate import curve
from ..plots import legend, panels, thinned
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = TabularPolicy()


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Suboptimality by update for each form, loss, and way to minimise it."""
    beta, n_updates = settings["beta"], settings["n_updates"]
    tasks = {
        "bandit": problems.bandit(settings["means"]),
        "MDP": problems.random_mdp(**settings["mdp"]),
    }
    lines: dict[tuple[str, str, str], Array] = {}
    rows = []
    for task, form, match, inner in track(
        [
            (t, f, m, i)
            for t in tasks
            for f in FORMS
            for m in MATCHES
            for i in ("exact", "inner steps")
            if (t, i) != ("MDP", "inner steps")
        ]
    ):
        steps = {} if inner == "exact" else {"step": settings["step"], "n_inner": settings["n_inner"]}
        lines[task, f"{form} {inner}", match] = gaps = _line(
            tasks[task], n_updates, beta=beta, match=match, advantages=form, **steps
        )
        rows.append(_row(task, form, match, inner, gaps))
    head = TabularPolicy(Tsallis(settings["alpha"]))
    tsallis = _line(tasks["bandit"], n_updates, head, beta=beta)
    rows.append(_row("bandit", "dense", "kld", f"exact, Tsallis {settings['alpha']:g}", tsallis))
    same = _same(tasks["MDP"], tasks["bandit"], beta, settings)
    return Outcome(rows, _findings(settings, lines, tsallis, same), _draw(lines, tsallis, settings))


def _line(mdp: FiniteMDP, n_updates: int, policy: TabularPolicy = SOFTMAX, **options: Any) -> Array:
    """max_s V*(s) - V(s), [T + 1]."""
    return curve(
        lambda theta: lco(mdp, theta, policy=policy, **options),
        lambda theta: mdp.suboptimality(policy.probs(theta)).max(-1),
        np.zeros(mdp.r.shape),
        n_updates,
    )[0]


def _row(task: str, form: str, match: str, inner: str, gaps: Array) -> dict[str, Any]:
    inside = gaps[gaps > 1e-250]
    return {
        "task": task,
        "advantages": form,
        "match": match,
        "minimised": inner,
        "after_100": float(gaps[100]),
        "last": float(gaps[-1]),
        "power": power(gaps[1:], len(gaps) // 4) if len(inside) == len(gaps) else np.nan,
    }


def _same(mdp: FiniteMDP, bandit: FiniteMDP, beta: float, settings: Mapping[str, Any]) -> dict[str, float]:
    """Largest difference over a few updates: dense from NPG at 1 / beta; on the bandit sparse mse from SPG at 1 / "
    "beta."""
    apart = {"dense": 0.0, "sparse": 0.0}
    for form, task, other in (("dense", mdp, npg), ("sparse", bandit, spg)):
        for match in MATCHES if form == "dense" else ("mse",):
            theta = reference = np.zeros(task.r.shape)
            for _ in range(settings["compared"]):
                theta, reference = lco(task, theta, beta, match, form), other(task, reference, 1.0 / beta)
                apart[form] = max(apart[form], float(np.abs(SOFTMAX.probs(theta) - SOFTMAX.probs(reference)).max()))
    return apart


def _findings(
    settings: Mapping[str, Any], lines: Mapping[tuple[str, str, str], Array], tsallis: Array, same: Mapping[str, float]
) -> list[Finding]:
    gap = float(np.diff(np.sort(settings["means"])[-2:])[0]) / settings["beta"]
    dense = rate(lines["bandit", "dense exact", "kld"], 1e-6, 1e-30)
    powers = {m: power(lines["bandit", "sparse exact", m][1:], settings["n_updates"] // 4) for m in MATCHES}
    mdp = {m: power(lines["MDP", "sparse exact", m][1:], settings["n_updates"] // 4) for m in MATCHES}
    slow = max(abs(p + 1.0) for p in powers.values())
    beta = 1.0 / (1.0 - settings["alpha"])
    tail = power(tsallis[1:], settings["n_updates"] // 4)
    numbers = "; ".join(
        f"{name} {lines['bandit', key, m][100]:.2g}, {lines['bandit', key, m][-1]:.2g}"
        for name, key, m in [("dense", "dense exact", "kld"), *((f"sparse {m}", "sparse exact", m) for m in MATCHES)]
    )
    linear = [m for m in MATCHES if lines["bandit", "dense inner steps", m][-1] < 1e-20]
    steps = "; ".join(
        f"{form} {m} {lines['bandit', f'{form} inner steps', m][-1]:.2g}" for form in FORMS for m in MATCHES
    )
    return [
        Finding(
            "LCO with dense advantages is the natural policy gradient with step 1 / beta, and linear",
            HOLDS if same["dense"] < 1e-9 and abs(dense / -gap - 1.0) <= 0.02 else FAILS,
            f"all three losses within {same['dense']:.0e} of NPG's policies on an MDP over {settings['compared']} "
            "updates; bandit: "
            f"d log(suboptimality)/dt = {dense:.5g} (-gap / beta = {-gap:.5g})",
        ),
        Finding(
            "LCO regresses onto z_old + A / beta whether advantages are dense or sparse",
            FAILS if same["sparse"] < 1e-9 and slow <= 0.05 else HOLDS,
            "sparse is a policy gradient in expectation and O(1/t): "
            + ", ".join(f"{m} t^{powers[m]:.3f}" for m in MATCHES)
            + " on the bandit, "
            + ", ".join(f"t^{mdp[m]:.2f}" for m in MATCHES)
            + f" on the MDP; mse is softmax policy gradient with step 1 / beta to {same['sparse']:.0e}; "
            "suboptimality after 100 "
            f"and {settings['n_updates']} updates, each solved exactly: {numbers}",
        ),
        Finding(
            "with dense advantages a few inner gradient steps keep the linear rate of the exact minimiser",
            HOLDS if len(linear) == 3 else f"holds under the losses {' and '.join(linear)}" if linear else FAILS,
            "the curvature of KL vanishes with pi, so its steps get shorter: O(1/t) although its exact minimiser is "
            "linear; "
            f"{settings['n_inner']} steps of {settings['step']:g}; suboptimality after {settings['n_updates']}: "
            f"{steps}",
            paper="2603.00963, section 5",
        ),
        Finding(
            "dense LCO is linear under any head",
            FAILS if abs(tail / -beta - 1.0) <= 0.05 else HOLDS,
            f"Tsallis {settings['alpha']:g}: t^{tail:.3f}, as the tails of its softargmax, t^-1/(1-alpha) = "
            f"t^-{beta:g}",
            paper="own derivation",
        ),
    ]


def _draw(lines: Mapping[tuple[str, str, str], Array], tsallis: Array, settings: Mapping[str, Any]) -> Any:
    figure, axes = panels(2)
    for one, task in zip(axes, ("bandit", "MDP"), strict=True):
        one.plot(*thinned(lines[task, "dense exact", "kld"][1:]), "k-", label="dense, exact, any loss")
        for color, match in enumerate(MATCHES):
            for form, style in (("sparse exact", "--"), ("dense inner steps", ":")):
                if (task, form, match) in lines:
                    label = f"{form.replace(' ', ', ', 1)}, {match}"
                    one.plot(*thinned(lines[task, form, match][1:]), f"C{color}{style}", lw=3 - color, label=label)
    axes[0].plot(*thinned(tsallis[1:]), "C3-.", label=f"dense, exact, Tsallis {settings['alpha']:g} head")
    for one, title in zip(axes, (f"{len(settings['means'])}-armed bandit", "random MDP"), strict=True):
        one.set(
            xscale="log",
            yscale="log",
            ylim=(1e-15, 30),
            xlabel="updates",
            title=f"{title}, beta = {settings['beta']:g}",
        )
        legend(one, fontsize=7)
    axes[0].set_ylabel("suboptimality, max_s V* - V")
    return figure


EXPERIMENT = Experiment(
    paper="2603.00963, sections 3 and 4",
    reduced={
        "means": [0.9, 0.6, 0.4, 0.1],
        "beta": 1.0,
        "mdp": {"n_states": 5, "n_actions": 3, "seed": 7},
        "n_updates": 1000,
        "compared": 30,
        "step": 1.0,
        "n_inner": 5,
        "alpha": 0.5,
    },
    full={"n_updates": 100000, "compared": 300},
    run=run,
)
