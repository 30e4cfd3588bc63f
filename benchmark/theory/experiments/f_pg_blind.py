"""What the published NChain curves measure: a policy that does not see its state, against one that does.

The authors' NChain gives a thermometer vector, 1 for every state up to the present one, and their tabular learner reads
it by argmax: always state 0. One row of logits acts in all states, and "always right" is one parameter. Stochastic f-PG
with the paper's settings is run on both; the best coefficient and step of the grid count for each alpha.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from agents.tabular.checks import Array

from ..plots import legend, panels
from ..registry import CONDITION, FAILS, HOLDS, Experiment, Finding, Outcome, Track
from ..sampled import SOFTMAX, best_curve, blind_learner, error, f_pg_learner, grid, leads, learn, task

SEEING = {False: "sees its state (one-hot)", True: "blind (thermometer by argmax)"}


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Curves for every size and alpha, seeing and blind."""
    rows, best = [], {}
    alphas = (*settings["alphas"], SOFTMAX)
    for size, alpha, blind in track(list(product(settings["sizes"], alphas, SEEING))):
        chain = task("NChain", size, settings["gamma"], settings["horizon"])
        scores = learn(chain, (blind_learner if blind else f_pg_learner)(chain, alpha), settings)
        best[size, alpha, blind] = best_curve(scores)
        rows += [
            {"size": size, "alpha": alpha, "blind": int(blind), "coef": coef, "step": step}
            | {"score": float(score.mean()), "solved": int((score > settings["solved"]).sum())}
            for (coef, step), score in zip(grid(settings), scores[-1], strict=True)
        ]
    return Outcome(rows, _findings(settings, best), _draw(settings, best))


def _findings(settings: Mapping[str, Any], best: Mapping[tuple[int, float, bool], Array]) -> list[Finding]:
    sizes, alphas = settings["sizes"], settings["alphas"]
    families = (SOFTMAX, *alphas)
    final = {key: curves[-1] for key, curves in best.items()}
    ahead = {
        blind: [
            size
            for size in sizes
            if any(leads(final[size, alpha, blind], final[size, SOFTMAX, blind]) for alpha in alphas)
        ]
        for blind in SEEING
    }
    told = {
        blind: "; ".join(
            f"n = {size}: "
            + ", ".join(f"{final[size, a, blind].mean():.2f} ± {error(final[size, a, blind]):.2f}" for a in families)
            for size in sizes
        )
        for blind in SEEING
    }
    names = f"softmax, alpha = {', '.join(f'{a:g}' for a in alphas)}"
    verdicts = {
        blind: HOLDS if where == sizes else f"{CONDITION}n = {', '.join(map(str, where))} only" if where else FAILS
        for blind, where in ahead.items()
    }
    apart = {
        blind: [float((best[size, a, blind][-1] > settings["solved"]).mean()) for size in sizes for a in families]
        for blind in SEEING
    }
    same = all(abs(one - other) < 0.01 for one, other in zip(apart[True], apart[False], strict=True))
    return [
        Finding(
            "on NChain stochastic f-PG with alpha < 1 ends ahead of softmax (the authors' blind encoding)",
            verdicts[True],
            f"share of the best return, mean ± standard error of {settings['n_seeds']} seeds after "
            f"{settings['n_updates']} updates (the paper: 20000), "
            f"{names}: {told[True]}",
        ),
        Finding(
            "on NChain stochastic f-PG with alpha < 1 ends ahead of softmax (states told apart)",
            verdicts[False],
            f"the same with one-hot states: {told[False]}",
        ),
        Finding(
            "NChain's curves are those of an agent that sees where it is on the chain",
            HOLDS if same else FAILS,
            "the authors' thermometer read by argmax is always state 0, one row of logits acts everywhere: share of "
            + f"seeds above {settings['solved']:g}, blind (seeing), for {names}: "
            + "; ".join(
                f"n = {size}: "
                + ", ".join(
                    f"{(best[size, a, True][-1] > settings['solved']).mean():.1f} "
                    f"({(best[size, a, False][-1] > settings['solved']).mean():.1f})"
                    for a in families
                )
                for size in sizes
            ),
        ),
    ]


def _draw(settings: Mapping[str, Any], best: Mapping[tuple[int, float, bool], Array]) -> Any:
    figure, axes = panels(2, len(settings["sizes"]), width=4.4, height=3.2)
    axes = np.reshape(axes, (-1, 2))
    updates = np.linspace(0, settings["n_updates"], settings["n_scores"] + 1)
    for (row, size), (column, blind) in product(enumerate(settings["sizes"]), enumerate(SEEING)):
        one = axes[row, column]
        for i, alpha in enumerate((*settings["alphas"], SOFTMAX)):
            curves = best[size, alpha, blind]
            color, label = ("k", "softmax") if alpha == SOFTMAX else (f"C{i}", f"alpha = {alpha:g}")
            middle, spread = curves.mean(1), np.array([error(scores) for scores in curves])
            one.plot(updates, middle, color=color, label=label)
            one.fill_between(updates, middle - spread, middle + spread, color=color, alpha=0.12, lw=0)
        one.set(ylim=(-0.02, 1.05), xlabel="updates", ylabel="share of the best return")
        one.set_title(f"NChain-{size}, {SEEING[blind]}", fontsize=9)
    legend(axes[0, 0])
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, section 5, NChain",
    reduced={
        "sizes": [15],
        "gamma": 0.99,
        "horizon": 25,
        "batch": 2,
        "alphas": [0.1, 0.5, 0.9],
        "coefs": [1e-3],
        "steps": [0.01, 0.1, 1.0],
        "n_updates": 4000,
        "n_scores": 25,
        "n_seeds": 20,
        "seed": 0,
        "solved": 0.9,
    },
    full={
        "sizes": [10, 15, 20],
        "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],
        "coefs": [1e-4, 1e-3, 1e-2, 0.1, 1.0],
        "n_updates": 20000,
        "n_scores": 200,
    },
    run=run,
)
