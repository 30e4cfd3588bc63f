"""Stochastic policy gradients over a grid of coefficients and steps and several seeds at once, scored exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from agents.geometry import KL, Tsallis
from agents.tabular import (
    EscortPolicy,
    FiniteMDP,
    LogLinearPolicy,
    Policy,
    Regularizer,
    Sampler,
    TabularPolicy,
    escort,
    f_pg_stochastic,
    hadamard,
    log_barrier,
)
from agents.tabular.checks import Array

from . import problems
from .cells import kept

SOFTMAX = 1.0  # alpha of the softmax


class Task(NamedTuple):
    """A problem with the length of its episodes."""

    mdp: FiniteMDP
    horizon: int

    def score(self, policy: Array) -> Array:
        """The discounted return of an episode under a policy [..., S, A], as a share of the best one: [...]."""
        best = self._return(lambda Q: Q.max(-1), self.mdp.rho.shape)
        return self._return(lambda Q: (policy * Q).sum(-1), policy.shape[:-1]) / best

    def _return(self, choose: Callable[[Array], Array], shape: tuple[int, ...]) -> Array:
        V = np.zeros(shape)
        for _ in range(self.horizon):
            V = choose(self.mdp.r + self.mdp.gamma * self.mdp.expected(V))
        return V @ self.mdp.rho


def task(name: str, size: int, gamma: float, longest: int) -> Task:
    """NChain with its n + 8 steps an episode or DeepSea with its N, no more than `longest`."""
    if name == "NChain":
        return Task(problems.nchain(size, gamma), min(size + 8, longest))
    return Task(problems.deep_sea(size, gamma), min(size, longest))


@dataclass(frozen=True)
class Learner:
    """A policy, its first parameters (runs -> theta) and its update (mdp, theta, coefs, steps, sampler) -> theta."""

    policy: Policy
    start: Callable[[int], Array]
    update: Callable[[FiniteMDP, Array, Array, Array, Sampler], Array]


def f_pg_learner(task: Task, alpha: float, tau: float = 0.0) -> Learner:
    """Stochastic f-PG from theta = 0, with the projection T_tau if tau > 0."""
    divergence = KL() if alpha == SOFTMAX else Tsallis(alpha)

    def update(mdp: FiniteMDP, theta: Array, coefs: Array, steps: Array, sampler: Sampler) -> Array:
        sampling = sampler.rng, sampler.horizon, sampler.batch
        noise = sampler.reward_noise
        return f_pg_stochastic(mdp, theta, divergence, coefs, steps, *sampling, tau=tau, reward_noise=noise)

    return Learner(TabularPolicy(divergence), lambda runs: np.zeros((runs, *task.mdp.r.shape)), update)


def blind_learner(task: Task, alpha: float) -> Learner:
    """The same with one row of logits [A] for all states: linear in features that do not know the state."""
    divergence = KL() if alpha == SOFTMAX else Tsallis(alpha)
    S, A = task.mdp.r.shape
    policy = LogLinearPolicy(divergence, features=np.tile(np.eye(A), (S, 1, 1)))

    def update(mdp: FiniteMDP, theta: Array, coefs: Array, steps: Array, sampler: Sampler) -> Array:
        return theta + steps[:, None] * sampler.gradient(mdp, policy, theta, Regularizer(divergence, coefs))

    return Learner(policy, lambda runs: np.zeros((runs, A)), update)


def baseline(task: Task, name: str, seed: int) -> Learner:
    """The paper's baselines: "escort" and "hadamard", which have no coefficient, and "log_barrier"."""
    S, A = task.mdp.r.shape
    if name == "log_barrier":
        return Learner(
            TabularPolicy(),
            lambda runs: np.zeros((runs, S, A)),
            lambda mdp, theta, coefs, steps, sampler: log_barrier(mdp, theta, coefs, steps, sampler),
        )
    if name == "escort":
        return Learner(
            EscortPolicy(),
            lambda runs: 1e-3 * np.random.default_rng(seed).standard_normal((runs, S, A)),
            lambda mdp, theta, coefs, steps, sampler: escort(mdp, theta, steps, sampler=sampler),
        )
    return Learner(
        EscortPolicy(),
        lambda runs: np.full((runs, S, A), A**-0.5),
        lambda mdp, theta, coefs, steps, sampler: hadamard(mdp, theta, steps, sampler),
    )


def grid(settings: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Every (coef, step)."""
    return list(product(settings["coefs"], settings["steps"]))


@kept
def learn(task: Task, learner: Learner, settings: Mapping[str, Any], reward_noise: float = 0.0) -> Array:
    """Scores [n_scores + 1, grid, seeds], one before and one after every n_updates / n_scores updates."""
    n_seeds, n_scores = settings["n_seeds"], settings["n_scores"]
    coefs, steps = np.repeat(np.array(grid(settings)), n_seeds, axis=0).T
    sampler = Sampler(np.random.default_rng(settings["seed"]), task.horizon, settings["batch"], reward_noise)
    theta = learner.start(len(coefs))
    scores = [task.score(learner.policy.probs(theta))]
    for _ in range(n_scores):
        for _ in range(settings["n_updates"] // n_scores):
            theta = learner.update(task.mdp, theta, coefs, steps, sampler)
        scores.append(task.score(learner.policy.probs(theta)))
    return np.array(scores).reshape(n_scores + 1, -1, n_seeds)


def best_curve(scores: Array) -> Array:
    """The curves [n_scores + 1, seeds] of the cell of the grid with the best mean final score."""
    return scores[:, int(scores[-1].mean(-1).argmax())]


def leads(one: Array, other: Array) -> bool:
    """Whether scores [seeds] are larger than others on average, by more than two standard errors of the difference."""
    return float(one.mean() - other.mean()) > 2.0 * error(one, other)


def error(*scores: Array) -> float:
    """The standard error of a mean over seeds, or of the difference of two."""
    return float(np.sqrt(sum(one.var(ddof=1) / len(one) for one in scores)))
