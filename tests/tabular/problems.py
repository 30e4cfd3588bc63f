"""Small finite MDPs and policies for the tests of this folder."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from agents.tabular import FiniteMDP


def random_mdp(seed, S=5, A=3, gamma=0.9):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(S, 0.5), (S, A))
    return FiniteMDP(P, rng.normal(size=(S, A)), gamma, rng.dirichlet(np.ones(S)))


def random_policy(mdp, seed, runs=()):
    return np.random.default_rng(seed).dirichlet(np.ones(mdp.n_actions), (*runs, mdp.n_states))


def sparsely(mdp):
    return FiniteMDP(sparse.csr_array(mdp.P.reshape(-1, mdp.n_states)), mdp.r, mdp.gamma, mdp.rho)


def chain(n, gamma=0.99):
    """Left and right on a line of n states, 0.01 for left at its start, 1 for right at its end; sparse."""
    states = np.arange(n)
    targets = np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, n - 1)], axis=1).ravel()
    P = sparse.csr_array((np.ones(2 * n), targets, np.arange(2 * n + 1)), shape=(2 * n, n))
    r = np.zeros((n, 2))
    r[0, 0], r[-1, 1] = 0.01, 1.0
    return FiniteMDP(P, r, gamma, np.full(n, 1.0 / n))
