"""Sampling from a finite MDP: a batch of trajectories for each of many runs, one array operation per time step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .checks import Array
from .mdp import FiniteMDP

Indices = NDArray[np.int64]


class Trajectories(NamedTuple):
    """Trajectories cut off at the horizon H: states, actions (int64) and rewards, each [..., B, H]."""

    states: Indices
    actions: Indices
    rewards: Array


def trajectories(
    mdp: FiniteMDP, policy: Array, rng: np.random.Generator, horizon: int, batch: int, reward_noise: float = 0.0
) -> Trajectories:
    """`batch` trajectories of each policy [..., S, A] from s_0 ~ rho; rewards r(s, a) + reward_noise N(0, 1).

    Raises:
        ValueError: for a horizon or a batch below 1.
    """
    for name, number in (("horizon", horizon), ("batch", batch)):
        if number < 1:
            raise ValueError(f"{name}={number}: must be at least 1")
    runs = policy.shape[:-2]
    rows = policy.reshape(-1, *policy.shape[-2:])
    run = np.repeat(np.arange(len(rows)), batch)
    state = sample_rows(np.broadcast_to(mdp.rho, (len(run), mdp.n_states)), rng)
    states = np.empty((horizon, len(run)), np.int64)
    actions = np.empty_like(states)
    for t in range(horizon):
        states[t] = state
        actions[t] = sample_rows(rows[run, state], rng)
        state = mdp.sample_next(states[t], actions[t], rng)
    rewards = mdp.r[states, actions]
    if reward_noise:
        rewards = rewards + reward_noise * rng.standard_normal(rewards.shape)
    shape = (*runs, batch, horizon)
    return Trajectories(*(part.T.reshape(shape) for part in (states, actions, rewards)))


def sample_rows(probs: Array, rng: np.random.Generator) -> Indices:
    """One index per row of probs [..., K], by inversion: [...]."""
    thresholds = rng.random(probs.shape[:-1])[..., None]
    return (np.cumsum(probs[..., :-1], axis=-1) <= thresholds).sum(-1)
