"""Lojasiewicz constants of the two-armed bandit against the regulariser's coefficient: power or exponential?

mu = min |grad V|^2 / (2 (V* - V)) over the logits with |theta_1 - theta_0| <= gap / coef, a region that reaches to the
optimum on one side and as far into the wrong one. Theory: mu ~ coef^(2 (beta + 1)), beta = 1 / (1 - alpha), for a
Tsallis policy with its own regulariser, exp(-2 gap / coef) for softmax with entropy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.geometry import KL, Divergence, Tsallis
from agents.tabular import FiniteMDP, Regularizer, TabularPolicy, value_and_gradient

from .. import problems
from ..fits import slope
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = 1.0  # alpha of the softmax and of entropy


def lojasiewicz(mdp: FiniteMDP, policy: Divergence, regularizer: Divergence, coef: float, points: int) -> float:
    """min |grad V|^2 / (2 (V* - V)) on a grid of logit gaps; where V* - V is rounding alone does not count."""
    reach = np.ptp(mdp.r) / coef
    gaps = np.linspace(-reach, reach, points)
    theta = np.stack([np.zeros(points), gaps], axis=-1)[:, None]
    best = mdp.optimal_regularized(regularizer, coef)[0] @ mdp.rho
    values, gradients = value_and_gradient(mdp, TabularPolicy(policy), theta, Regularizer(regularizer, coef))
    counts = best - values > 1e-9 * abs(best)
    return float((np.square(gradients[counts]).sum((-2, -1)) / (2.0 * (best - values[counts]))).min())


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Constants for every pair of generators and every coefficient, and the degrees at the small end."""
    mdp = problems.bandit(settings["means"])
    alphas, limit = settings["alphas"], settings["fit_below"]
    coupled = [(alpha, alpha) for alpha in (*alphas, SOFTMAX)]
    mixed = [pair for alpha in settings["mixed_alphas"] for pair in ((alpha, SOFTMAX), (SOFTMAX, alpha))]
    rows, constants = [], {}
    for policy, regularizer in track([*coupled, *mixed]):
        lowest = settings["softmax_from"] if policy == SOFTMAX else 0.0  # below, |grad|^2 is less than any float
        coefs = [coef for coef in settings["coefs"] if coef >= lowest]
        generators = _generator(policy), _generator(regularizer)
        mus = [lojasiewicz(mdp, *generators, coef, settings["points"]) for coef in coefs]
        constants[policy, regularizer] = dict(zip(coefs, mus, strict=True))
        degrees = np.gradient(np.log(mus), np.log(coefs))
        rows += [
            {"policy_alpha": policy, "regularizer_alpha": regularizer, "coef": coef, "constant": mu, "degree": degree}
            for coef, mu, degree in zip(coefs, mus, degrees, strict=True)
        ]
    degrees = {pair: _degree(constants[pair], limit) for pair in constants if pair[0] != SOFTMAX}
    return Outcome(rows, _findings(settings, constants, degrees), _draw(constants))


def _generator(alpha: float) -> Divergence:
    return KL() if alpha == SOFTMAX else Tsallis(alpha)


def _degree(constants: Mapping[float, float], limit: float) -> float:
    small = {coef: mu for coef, mu in constants.items() if coef <= limit}
    return slope(np.log(list(small)), np.log(list(small.values())))


def _theory(alpha: float) -> float:
    return 2.0 * (1.0 / (1.0 - alpha) + 1.0)


def _findings(settings: Mapping[str, Any], constants: Any, degrees: Any) -> list[Finding]:
    alphas = settings["alphas"]
    fits = all(abs(degrees[a, a] / _theory(a) - 1.0) <= 0.1 for a in alphas)
    softmax = constants[SOFTMAX, SOFTMAX]
    exponent = slope([1.0 / coef for coef in softmax], [np.log(mu) for mu in softmax.values()])
    exponential = abs(exponent / (-2.0 * np.ptp(settings["means"])) - 1.0) <= 0.1
    mixed = settings["mixed_alphas"]
    same = all(abs(degrees[a, SOFTMAX] / degrees[a, a] - 1.0) <= 0.1 for a in mixed)
    factor = max(
        max(mu / constants[a, SOFTMAX][coef] for coef, mu in constants[a, a].items() if coef <= settings["fit_below"])
        for a in mixed
    )
    large = max(settings["coefs"])
    ahead = [coef for coef in softmax if all(constants[a, a][coef] > softmax[coef] for a in alphas)]
    return [
        Finding(
            "Tsallis policy and regulariser: the Lojasiewicz constant falls as coef^(2 (beta + 1)), beta = 1/(1-alpha)",
            HOLDS if fits else FAILS,
            f"degree fitted at coef <= {settings['fit_below']:g} (theory): "
            + ", ".join(f"alpha={a:g}: {degrees[a, a]:.2f} ({_theory(a):.4g})" for a in alphas),
        ),
        Finding(
            "softmax with entropy: it falls exponentially, as exp(-2 gap / coef)",
            HOLDS if exponential else FAILS,
            f"d log(constant) / d(1/coef) = {exponent:.3f}; {softmax[0.1]:.2g} at 0.1, {softmax[0.01]:.2g} at 0.01",
        ),
        Finding(
            "it takes the coupling of policy and regulariser to make the constant polynomial",
            FAILS if same else HOLDS,
            "Tsallis policy with entropy has the same degrees, "
            + ", ".join(f"alpha={a:g}: {degrees[a, SOFTMAX]:.2f}" for a in mixed)
            + f", and the coupled constant is at most {factor:.2g} times larger; softmax with a Tsallis regulariser "
            + f"(alpha={mixed[-1]:g}) falls exponentially, to {constants[SOFTMAX, mixed[-1]][0.01]:.1g} at 0.01",
            paper="2601.12604, figure 1",
        ),
        Finding(
            "the Tsallis constant is the larger one",
            f"holds under coef <= {max(ahead):g} x gap" if ahead and max(ahead) < large else HOLDS if ahead else FAILS,
            f"at coef = {large:g}: softmax {softmax[large]:.2g}, "
            + ", ".join(f"alpha={a:g}: {constants[a, a][large]:.2g}" for a in alphas),
        ),
    ]


def _draw(constants: Mapping[tuple[float, float], Mapping[float, float]]) -> Any:
    figure, axes = panels(2)
    for (policy, regularizer), line in constants.items():
        if policy == regularizer:
            label = "softmax, entropy" if policy == SOFTMAX else f"alpha = {policy:g}"
            axes[0].plot(list(line), list(line.values()), "k--" if policy == SOFTMAX else "o-", ms=3, label=label)
        else:
            names = [
                f"Tsallis {alpha:g}" if alpha != SOFTMAX else name
                for alpha, name in ((policy, "softmax"), (regularizer, "entropy"))
            ]
            style = "o-" if policy != SOFTMAX else "s--"
            axes[1].plot(list(line), list(line.values()), style, ms=3, label=f"{names[0]} policy, {names[1]}")
    axes[0].set_title("policy and regulariser coupled")
    axes[1].set_title("not coupled")
    for one in axes:
        one.set(xscale="log", yscale="log", ylim=(1e-100, 10), xlabel="regulariser's coefficient / reward gap")
        legend(one)
    axes[0].set_ylabel("Lojasiewicz constant")
    return figure


EXPERIMENT = Experiment(
    paper="2601.12604, section 4",
    reduced={
        "means": [0.0, 1.0],
        "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],
        "mixed_alphas": [0.1, 0.5],
        "coefs": [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
        "softmax_from": 0.005,
        "fit_below": 0.005,
        "points": 4001,
    },
    full={"points": 100001},
    run=run,
)
