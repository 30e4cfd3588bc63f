"""Noise on the rewards: does the lead of alpha < 1 over softmax grow with it, as alpha-Tsallis PPO's is said to?

Stochastic f-PG on NChain with one-hot states; the learner sees rewards with Gaussian noise added, the score is without.
The best coefficient and step of the grid count at each level.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from agents.tabular.checks import Array

from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track
from ..sampled import SOFTMAX, best_curve, error, f_pg_learner, grid, leads, learn, task


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Final scores for every noise and alpha."""
    rows, final = [], {}
    chain = task("NChain", settings["size"], settings["gamma"], settings["horizon"])
    for noise, alpha in track(list(product(settings["noises"], (SOFTMAX, *settings["alphas"])))):
        scores = learn(chain, f_pg_learner(chain, alpha), settings, noise)
        final[noise, alpha] = best_curve(scores)[-1]
        rows += [
            {"noise": noise, "alpha": alpha, "coef": coef, "step": step}
            | {"score": float(score.mean()), "lowest": float(score.min()), "highest": float(score.max())}
            for (coef, step), score in zip(grid(settings), scores[-1], strict=True)
        ]
    return Outcome(rows, [_finding(settings, final)], _draw(settings, final))


def _finding(settings: Mapping[str, Any], final: Mapping[tuple[float, float], Array]) -> Finding:
    noises, alphas = settings["noises"], settings["alphas"]
    means = {key: float(scores.mean()) for key, scores in final.items()}
    tsallis = {noise: max(alphas, key=lambda alpha: means[noise, alpha]) for noise in noises}
    gains = [means[noise, tsallis[noise]] - means[noise, SOFTMAX] for noise in noises]
    errors = [error(final[noise, tsallis[noise]], final[noise, SOFTMAX]) for noise in noises]
    last = noises[-1]
    grows = all(later >= gain for gain, later in itertools.pairwise(gains))
    grows &= leads(final[last, tsallis[last]], final[last, SOFTMAX])
    return Finding(
        "the lead of alpha < 1 over softmax grows with the noise on the rewards (here: tabular, stochastic f-PG)",
        HOLDS if grows else FAILS,
        f"NChain-{settings['size']}, share of the best return, {settings['n_seeds']} seeds, for softmax, alpha = "
        f"{', '.join(f'{alpha:g}' for alpha in alphas)}: "
        + "; ".join(
            f"noise {noise:g}: "
            + ", ".join(f"{means[noise, alpha]:.2f}" for alpha in (SOFTMAX, *alphas))
            + f" (lead {gain:+.2f} ± {spread:.2f})"
            for noise, gain, spread in zip(noises, gains, errors, strict=True)
        ),
    )


def _draw(settings: Mapping[str, Any], final: Mapping[tuple[float, float], Array]) -> Any:
    figure, axes = panels(1, width=5.5)
    noises = settings["noises"]
    places = np.arange(len(noises))
    families = (SOFTMAX, *settings["alphas"])
    for i, alpha in enumerate(families):
        scores = np.array([final[noise, alpha] for noise in noises])
        middle = scores.mean(1)
        spread = np.abs(np.stack([scores.min(1), scores.max(1)]) - middle)
        color, label = ("k", "softmax") if alpha == SOFTMAX else (f"C{i - 1}", f"alpha = {alpha:g}")
        shifted = places + 0.12 * (i - (len(families) - 1) / 2)
        axes.errorbar(shifted, middle, spread, fmt="o", capsize=3, color=color, label=label)
    axes.set_xticks(places, [f"{noise:g}" for noise in noises])
    axes.set(xlabel="standard deviation of the noise on each reward", ylabel="share of the best return at the end")
    axes.set_title(f"NChain-{settings['size']}, mean and range of {settings['n_seeds']} seeds", fontsize=10)
    legend(axes)
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, section 6 (noisy CartPole)",
    reduced={
        "size": 10,
        "gamma": 0.99,
        "horizon": 25,
        "batch": 2,
        "noises": [0.0, 0.5, 2.0, 10.0],
        "alphas": [0.5, 0.9],
        "coefs": [1e-3],
        "steps": [0.01, 0.1, 1.0],
        "n_updates": 1000,
        "n_scores": 10,
        "n_seeds": 20,
        "seed": 0,
    },
    full={
        "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],
        "coefs": [1e-4, 1e-3, 1e-2, 0.1, 1.0],
        "n_updates": 20000,
        "n_seeds": 25,
    },
    run=run,
)
