"""Policy gradients estimated from truncated trajectories, and the stochastic f-PG made of them (arXiv 2601.12604)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..geometry import Divergence, project_logits
from .checks import Array
from .gradients import Regularizer, per_run
from .mdp import FiniteMDP
from .policies import Policy, TabularPolicy
from .sampling import Trajectories, trajectories


@dataclass(frozen=True, eq=False)
class Sampler:
    """An estimated gradient: `batch` trajectories per run, cut off at `horizon`, rewards + reward_noise N(0, 1)."""

    rng: np.random.Generator
    horizon: int = 25
    batch: int = 2
    reward_noise: float = 0.0

    def gradient(self, mdp: FiniteMDP, policy: Policy, theta: Array, regularizer: Regularizer | None = None) -> Array:
        """An estimate of `value_and_gradient(...)[1]` from fresh trajectories, shaped like theta."""
        probs = policy.probs(theta)
        paths = trajectories(mdp, probs, self.rng, self.horizon, self.batch, self.reward_noise)
        return gradient_estimate(mdp, policy, theta, probs, paths, regularizer)


def f_pg_stochastic(
    mdp: FiniteMDP,
    theta: Array,
    divergence: Divergence,
    coef: ArrayLike,
    step: ArrayLike,
    rng: np.random.Generator,
    horizon: int = 25,
    batch: int = 2,
    tau: float = 0.0,
    reference: Array | None = None,
    reward_noise: float = 0.0,
) -> Array:
    """One update T_tau(theta + step g) of theta [..., S, A], g estimated as by `Sampler`.

    T_tau raises every pi(a) to at least tau q(a) (`geometry.project_logits`); tau = 0 leaves it out, as the authors'
    code does. (arXiv 2601.12604, Algorithm 2)
    """
    policy, sampler = TabularPolicy(divergence, reference), Sampler(rng, horizon, batch, reward_noise)
    gradient = sampler.gradient(mdp, policy, theta, Regularizer(divergence, coef, reference))
    theta = theta + per_run(step, 2) * gradient
    if tau == 0.0:
        return theta
    q = None if reference is None else torch.tensor(reference, dtype=torch.float64)
    return project_logits(torch.from_numpy(theta), tau, divergence, 1.0, q).numpy()


def gradient_estimate(
    mdp: FiniteMDP,
    policy: Policy,
    theta: Array,
    probs: Array,
    paths: Trajectories,
    regularizer: Regularizer | None = None,
) -> Array:
    """The mean over trajectories of

    sum_t gamma^t {(sum_{l <= t} grad log pi(a_l|s_l)) [r_t - coef D_f(pi(s_t) || q)] - coef grad D_f(pi(s_t) || q)},

    pi = policy.probs(theta) [..., S, A], paths [..., B, H]; shaped like theta. The sums are exchanged: each visit's
    score is multiplied by the rewards that follow, and both terms go through the Jacobian of their state once, as
    grad log pi(a|s) is J e_a / pi(a|s) and grad D_f is J f'(pi / q).
    """
    S, A = mdp.r.shape
    runs, (batch, horizon) = probs.shape[:-2], paths.states.shape[-2:]
    n_runs = int(np.prod(runs))
    discounts = mdp.gamma ** np.arange(horizon)
    visited = paths.states.reshape(n_runs, -1) + S * np.arange(n_runs)[:, None]  # run and state in one index
    rewards = paths.rewards.reshape(-1, horizon)
    if regularizer is not None:
        penalties = np.broadcast_to(regularizer.penalty(probs), (*runs, S)).ravel()
        rewards = rewards - penalties[visited].reshape(-1, horizon)
    to_come = np.cumsum((discounts * rewards)[:, ::-1], axis=1)[:, ::-1]
    taken = visited * A + paths.actions.reshape(n_runs, -1)
    scores = np.bincount(taken.ravel(), to_come.ravel(), n_runs * S * A).reshape(probs.shape) / batch
    ascent = np.divide(scores, probs, out=np.zeros_like(probs), where=probs > 0.0)
    if regularizer is not None:
        weights = np.broadcast_to(discounts, to_come.shape).ravel()
        visits = np.bincount(visited.ravel(), weights, n_runs * S).reshape(*runs, S, 1) / batch
        ascent = ascent - visits * regularizer.slope(policy, theta, probs)
    return policy.vjp(theta, probs, ascent)
