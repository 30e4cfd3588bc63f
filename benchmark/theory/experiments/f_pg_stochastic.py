"""Stochastic f-PG on NChain and DeepSea with one-hot states: alphas, the projection T_tau, and the paper's baselines.

Two trajectories an update, as in the paper; every method has the best coefficient and step of the same grid (escort and
Hadamard have no coefficient). T_tau, which the paper's theorem needs and the authors' code leaves out, keeps every
probability above tau / A; there is nothing else that differs between the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from agents.tabular.checks import Array

from ..plots import legend, panels
from ..registry import CONDITION, FAILS, HOLDS, Experiment, Finding, Outcome, Track
from ..sampled import SOFTMAX, Learner, Task, baseline, best_curve, f_pg_learner, grid, learn, task

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
    final = {key: float(curves[-1].mean()) for key, curves in best.items()}
    alphas, margin = [_named(alpha) for alpha in settings["alphas"]], settings["margin"]

    def ahead(some: list[str], others: list[str]) -> list[str]:
        return [
            problem
            for problem in problems
            if max(final[problem, m] for m in some) > max(final[problem, m] for m in others) + margin
        ]

    def verdict(where: list[str]) -> str:
        return HOLDS if where == problems else f"{CONDITION}{', '.join(where)} only" if where else FAILS

    def told(methods: list[str]) -> str:
        return "; ".join(
            f"{problem}: " + ", ".join(f"{method} {final[problem, method]:.2f}" for method in methods)
            for problem in problems
        )

    projected = [_named(alpha) for alpha in settings["projected"]]
    helped = [p for p in problems if any(final[p, f"{m} + T"] > final[p, m] + margin for m in projected)]
    return [
        Finding(
            "stochastic f-PG with alpha < 1 ends ahead of softmax on NChain and DeepSea",
            verdict(ahead(alphas, ["softmax"])),
            f"share of the best return, mean of {settings['n_seeds']} seeds after {settings['n_updates']} updates, "
            f"best coefficient and step: {told(['softmax', *alphas])}",
        ),
        Finding(
            "it ends ahead of the escort, Hadamard and log-barrier baselines",
            verdict(ahead(alphas, list(BASELINES))),
            told(list(BASELINES)),
        ),
        Finding(
            "the projection T_tau, part of the theorem though not of the authors' code, helps",
            verdict(helped),
            f"with tau = {settings['tau']:g} against without: "
            + "; ".join(
                f"{p}: " + ", ".join(f"{m} {final[p, f'{m} + T']:.2f} ({final[p, m]:.2f})" for m in projected)
                for p in problems
            ),
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
        (line,) = one.plot(updates, curves.mean(1), color=color, label=method)
        one.fill_between(updates, curves.min(1), curves.max(1), color=line.get_color(), alpha=0.08, lw=0)
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
        "coefs": [1e-3, 1e-2],
        "steps": [0.01, 0.1, 1.0, 10.0],
        "n_updates": 1500,
        "n_scores": 25,
        "n_seeds": 5,
        "seed": 0,
        "margin": 0.02,
    },
    full={
        "tasks": [["NChain", 10], ["NChain", 15], ["NChain", 20], ["DeepSea", 10], ["DeepSea", 15]],
        "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],
        "coefs": [1e-4, 1e-3, 1e-2, 0.1, 1.0],
        "n_updates": 20000,
        "n_scores": 200,
        "n_seeds": 16,
    },
    run=run,
)
