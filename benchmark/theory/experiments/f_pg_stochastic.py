"""Stochastic f-PG on NChain and DeepSea with one-hot states: alphas, the projection T_tau, and the paper's baselines.

Two trajectories an update, as in the paper; every method has the best step of the same grid. T_tau, which the paper's
theorem needs and the authors' code leaves out, keeps every probability above tau / A; nothing else differs between
the two. A run that never meets the goal learns nothing, so that scores are close to 0 or to 1, and a lead counts only
beyond two standard errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from agents.tabular.checks import Array

from ..plots import legend, panels
from ..registry import CONDITION, FAILS, HOLDS, Experiment, Finding, Outcome, Track
from ..sampled import SOFTMAX, Learner, Task, baseline, best_curve, error, f_pg_learner, grid, leads, learn, task

BASELINES = ("escort", "hadamard", "log_barrier")

Curves = Mapping[tuple[str, str], Array]  # problem, method


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Curves for every problem and method."""
    rows, best = [], {}
    tasks = {
        f"{name}-{size}": task(name, size, settings["gamma"], settings["horizon"]) for name, size in settings["tasks"]
    }
    for problem, method in track(list(product(tasks, _methods(settings)))):
        scores = learn(tasks[problem], _learner(tasks[problem], method, settings), settings)
        best[problem, method] = best_curve(scores)
        rows += [
            {"problem": problem, "method": method, "coef": coef, "step": step}
            | {"score": float(score.mean()), "lowest": float(score.min()), "highest": float(score.max())}
            for (coef, step), score in zip(grid(settings), scores[-1], strict=True)
        ]
    return Outcome(rows, _findings(settings, best), _draw(settings, best))


def _methods(settings: Mapping[str, Any]) -> list[str]:
    alphas = [_named(alpha) for alpha in (SOFTMAX, *settings["alphas"])]
    return [*alphas, *(f"{_named(alpha)} + T" for alpha in settings["projected"]), *BASELINES]


def _named(alpha: float) -> str:
    return "softmax" if alpha == SOFTMAX else f"alpha {alpha:g}"


def _learner(task: Task, method: str, settings: Mapping[str, Any]) -> Learner:
    if method in BASELINES:
        return baseline(task, method, settings["seed"])
    name, _, projected = method.partition(" + ")
    alpha = SOFTMAX if name == "softmax" else float(name.split()[1])
    return f_pg_learner(task, alpha, settings["tau"] if projected else 0.0)


def _findings(settings: Mapping[str, Any], best: Curves) -> list[Finding]:
    problems = list(dict.fromkeys(problem for problem, _ in best))
    final = {key: curves[-1] for key, curves in best.items()}
    alphas = [_named(alpha) for alpha in settings["alphas"]]
    projected = [_named(alpha) for alpha in settings["projected"]]

    def top(problem: str, methods: Sequence[str]) -> Array:
        return max((final[problem, method] for method in methods), key=np.mean)

    def verdict(where: list[str]) -> str:
        return HOLDS if where == problems else f"{CONDITION}{', '.join(where)} only" if where else FAILS

    def told(methods: Sequence[str]) -> str:
        return "; ".join(
            f"{problem}: "
            + ", ".join(f"{m} {final[problem, m].mean():.2f} ± {error(final[problem, m]):.2f}" for m in methods)
            for problem in problems
        )

    return [
        Finding(
            "stochastic f-PG with alpha < 1 ends ahead of softmax on NChain and DeepSea",
            verdict([p for p in problems if leads(top(p, alphas), final[p, "softmax"])]),
            f"share of the best return, mean ± standard error of {settings['n_seeds']} seeds after "
            f"{settings['n_updates']} updates (the paper: 20000), best step: {told(['softmax', *alphas])}",
        ),
        Finding(
            "it ends ahead of the escort, Hadamard and log-barrier baselines",
            verdict([p for p in problems if leads(top(p, alphas), top(p, BASELINES))]),
            told(BASELINES),
        ),
        Finding(
            "the projection T_tau, part of the theorem though not of the authors' code, helps",
            verdict([p for p in problems if any(leads(final[p, f"{m} + T"], final[p, m]) for m in projected)]),
            f"with tau = {settings['tau']:g}: {told([f'{m} + T' for m in projected])}",
            paper="2601.12604, algorithm 2",
        ),
    ]


def _draw(settings: Mapping[str, Any], best: Curves) -> Any:
    problems = list(dict.fromkeys(problem for problem, _ in best))
    figure, axes = panels(len(problems), 2, width=5.2, height=3.1)
    updates = np.linspace(0, settings["n_updates"], settings["n_scores"] + 1)
    for (problem, method), curves in best.items():
        row = int(method in BASELINES or "+" in method)
        color = {"softmax": "k", "softmax + T": "0.5"}.get(method)
        one = axes[row, problems.index(problem)]
        middle, spread = curves.mean(1), np.array([error(scores) for scores in curves])
        (line,) = one.plot(updates, middle, color=color, label=method)
        one.fill_between(updates, middle - spread, middle + spread, color=line.get_color(), alpha=0.12, lw=0)
        one.set(ylim=(-0.05, 1.05), xlabel="updates", ylabel="share of the best return")
        one.set_title(problem + (", projected and baselines" if row else ", f-PG"), fontsize=10)
    for one in axes.flat:
        legend(one, fontsize=7)
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, section 5",
    reduced={
        "tasks": [["NChain", 15], ["DeepSea", 10]],
        "gamma": 0.99,
        "horizon": 25,
        "batch": 2,
        "alphas": [0.1, 0.5, 0.9],
        "projected": [SOFTMAX, 0.5],
        "tau": 0.02,
        "coefs": [1e-3],
        "steps": [0.05, 0.5, 5.0],
        "n_updates": 1000,
        "n_scores": 25,
        "n_seeds": 20,
        "seed": 0,
    },
    full={
        "tasks": [["NChain", 10], ["NChain", 15], ["NChain", 20], ["DeepSea", 10], ["DeepSea", 15]],
        "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],
        "coefs": [1e-4, 1e-3, 1e-2, 0.1, 1.0],
        "steps": [0.01, 0.05, 0.1, 0.5, 1.0, 5.0],
        "n_updates": 20000,
        "n_scores": 200,
    },
    run=run,
)
