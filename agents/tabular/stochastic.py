"""Stochastic f-PG: the gradient estimated from truncated trajectories (arXiv 2601.12604)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..geometry import Divergence, project_logits
from .checks import Array
from .gradients import Regularizer, per_run
from .mdp import FiniteMDP
from .policies import TabularPolicy
from .sampling import Trajectories, trajectories


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
    """One update T_tau(theta + step g), g from `batch` trajectories per run cut off at `horizon`; theta [..., S, A].

    T_tau raises every pi(a) to at least tau q(a) (`geometry.project_logits`); tau = 0 leaves it out, as the authors'
    code does. (arXiv 2601.12604, Algorithm 2)
    """
    policy = TabularPolicy(divergence, reference)
    probs = policy.probs(theta)
    paths = trajectories(mdp, probs, rng, horizon, batch, reward_noise)
    regularizer = Regularizer(divergence, coef, reference)
    theta = theta + per_run(step, 2) * f_pg_gradient_estimate(mdp, policy, theta, probs, paths, regularizer)
    if tau == 0.0:
        return theta
    q = None if reference is None else torch.tensor(reference, dtype=torch.float64)
    return project_logits(torch.from_numpy(theta), tau, divergence, 1.0, q).numpy()


def f_pg_gradient_estimate(
    mdp: FiniteMDP, policy: TabularPolicy, theta: Array, probs: Array, paths: Trajectories, regularizer: Regularizer
) -> Array:
    """The mean over trajectories of

    sum_t gamma^t {(sum_{l <= t} grad log pi(a_l|s_l)) [r_t - coef D_f(pi(s_t) || q)] - coef grad D_f(pi(s_t) || q)},

    theta and pi [..., S, A], paths [..., B, H] -> [..., S, A]. The sums are exchanged: each visit's score is multiplied
    by the rewards that follow, and both terms go through the Jacobian of their state once, as grad log pi(a|s) is
    J e_a / pi(a|s) and grad D_f is J f'(pi / q).
    """
    S, A = mdp.r.shape
    runs, (batch, horizon) = probs.shape[:-2], paths.states.shape[-2:]
    n_runs = int(np.prod(runs))
    discounts = mdp.gamma ** np.arange(horizon)
    visited = paths.states.reshape(n_runs, -1) + S * np.arange(n_runs)[:, None]  # run and state in one index
    penalties = np.broadcast_to(regularizer.penalty(probs), (*runs, S)).ravel()[visited].reshape(-1, horizon)
    gains = discounts * (paths.rewards.reshape(-1, horizon) - penalties)
    to_come = np.cumsum(gains[:, ::-1], axis=1)[:, ::-1]
    taken = visited * A + paths.actions.reshape(n_runs, -1)
    scores = np.bincount(taken.ravel(), to_come.ravel(), n_runs * S * A).reshape(probs.shape) / batch
    weights = np.broadcast_to(discounts, to_come.shape).ravel()
    visits = np.bincount(visited.ravel(), weights, n_runs * S).reshape(*runs, S, 1) / batch
    per_action = np.divide(scores, probs, out=np.zeros_like(probs), where=probs > 0.0)
    return policy.vjp(theta, probs, per_action - visits * regularizer.slope(policy, theta, probs))
