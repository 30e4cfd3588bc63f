"""The problems of the experiments, by name: arrays of `envs` as exact finite MDPs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.tabular import FiniteMDP
from envs.bandits import bandit_arrays
from envs.chains import deep_sea_arrays, nchain_arrays
from envs.gridworlds import cliff_walking_arrays, frozen_lake_arrays
from envs.tabular import TabularArrays


def bandit(means: ArrayLike) -> FiniteMDP:
    """A bandit with these mean rewards [K]."""
    return _mdp(bandit_arrays(np.asarray(means, np.float64).tolist()), gamma=0.0)


def random_bandit(n_arms: int, seed: int, min_gap: float = 0.0) -> FiniteMDP:
    """A bandit with means from U[0, 1], the best at least `min_gap` ahead of the second best."""
    rng = np.random.default_rng(seed)
    while True:
        means = rng.random(n_arms)
        first, second = np.sort(means)[:-3:-1]
        if first - second >= min_gap:
            return bandit(means)


def side_by_side(bandits: Sequence[FiniteMDP]) -> FiniteMDP:
    """Bandits of K arms as the states [S] of one process with gamma = 0, each as likely: rules run on all at once.

    V(rho) is their mean, so the gradient of each is divided by S.
    """
    r = np.concatenate([one.r for one in bandits])
    n_states, n_arms = r.shape
    weights = np.full(n_states, 1.0 / n_states)
    return FiniteMDP(np.broadcast_to(weights, (n_states, n_arms, n_states)), r, 0.0, weights)


def random_mdp(n_states: int, n_actions: int, seed: int, gamma: float = 0.9) -> FiniteMDP:
    """Transitions from Dirichlet(1), rewards from U[0, 1], every state as likely at the start."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(n_states), (n_states, n_actions))
    return FiniteMDP(P, rng.random((n_states, n_actions)), gamma, np.full(n_states, 1.0 / n_states))


def nchain(n: int, gamma: float = 0.99, uniform_start: bool = False, sparse: bool = False) -> FiniteMDP:
    """The chain of n states, from state 1 or from any."""
    return _mdp(nchain_arrays(n, sparse), gamma, uniform_start)


def deep_sea(size: int, gamma: float = 0.99, uniform_start: bool = False) -> FiniteMDP:
    """The deep sea of size x size cells and the terminal state, from its corner or from any state; sparse."""
    return _mdp(deep_sea_arrays(size, sparse=True), gamma, uniform_start)


def cliff_walking(gamma: float = 0.9, uniform_start: bool = False) -> FiniteMDP:
    """Gymnasium's CliffWalking, deterministic."""
    return _mdp(cliff_walking_arrays(), gamma, uniform_start)


def frozen_lake(
    gamma: float = 0.9, map_name: str = "4x4", is_slippery: bool = True, uniform_start: bool = False
) -> FiniteMDP:
    """Gymnasium's FrozenLake."""
    return _mdp(frozen_lake_arrays(map_name, is_slippery), gamma, uniform_start)


def _mdp(arrays: TabularArrays, gamma: float, uniform_start: bool = False) -> FiniteMDP:
    n_states = len(arrays.rho)
    return FiniteMDP(arrays.P, arrays.r, gamma, np.full(n_states, 1.0 / n_states) if uniform_start else arrays.rho)
