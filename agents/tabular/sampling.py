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
    runs, n_runs = policy.shape[:-2], int(np.prod(policy.shape[:-2]))
    # Where each action's share of [0, 1) ends, the last one's apart: a row for every run and state.
    ends = np.cumsum(policy[..., :-1], axis=-1).reshape(n_runs * mdp.n_states, mdp.n_actions - 1)
    first = np.repeat(np.arange(n_runs) * mdp.n_states, batch)  # row of each trajectory's state 0
    uniforms = rng.random((2 * horizon + 1, len(first)))  # start; action and next state of each step
    state = np.searchsorted(np.cumsum(mdp.rho[:-1]), uniforms[0], side="right")
    states = np.empty((horizon, len(first)), np.int64)
    actions = np.empty_like(states)
    for t in range(horizon):
        states[t] = state
        actions[t] = _inverted(ends, first + state, uniforms[2 * t + 1])
        state = mdp.next_states(state * mdp.n_actions + actions[t], uniforms[2 * t + 2])
    rewards = mdp.r[states, actions]
    if reward_noise:
        rewards = rewards + reward_noise * rng.standard_normal(rewards.shape)
    shape = (*runs, batch, horizon)
    return Trajectories(*(part.T.reshape(shape) for part in (states, actions, rewards)))


def _inverted(ends: Array, rows: Indices, uniforms: Array) -> Indices:
    """How many of ends[row] are at most u, for rows and u [N]: [N]."""
    if ends.shape[1] == 1:
        return (ends[:, 0].take(rows) <= uniforms).astype(np.int64)
    return (ends.take(rows, axis=0) <= uniforms[:, None]).sum(-1)


def sample_rows(probs: Array, rng: np.random.Generator) -> Indices:
    """One index per row of probs [..., K], by inversion: [...]."""
    thresholds = rng.random(probs.shape[:-1])[..., None]
    return (np.cumsum(probs[..., :-1], axis=-1) <= thresholds).sum(-1)
