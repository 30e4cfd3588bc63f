"""Sampling, and the trajectory estimator of stochastic f-PG: unbiased for the truncated objective."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from agents.geometry import KL, Tsallis
from agents.tabular import (
    EscortPolicy,
    FiniteMDP,
    LogLinearPolicy,
    Regularizer,
    Sampler,
    TabularPolicy,
    Trajectories,
    escort,
    f_pg_stochastic,
    gradient_estimate,
    hadamard,
    log_barrier,
    policy_gradient,
    trajectories,
    value_and_gradient,
)
from agents.tabular.sampling import sample_rows

from .problems import random_mdp, random_policy, sparsely


@pytest.mark.parametrize("n_actions", [1, 2, 3])
def test_trajectories_are_drawn_step_by_step(n_actions):
    """The start of all, then actions and next states in turn: so seeds keep their meaning."""
    mdp = random_mdp(0, S=4, A=n_actions)
    policy = random_policy(mdp, 1, runs=(2, 3))
    paths = trajectories(mdp, policy, np.random.default_rng(7), 5, 4)
    rng, rows = np.random.default_rng(7), np.repeat(policy.reshape(6, *policy.shape[2:]), 4, axis=0)
    state = sample_rows(np.broadcast_to(mdp.rho, (24, 4)), rng)
    for t in range(5):
        assert (paths.states[..., t].ravel() == state).all()
        action = sample_rows(rows[np.arange(24), state], rng)
        assert (paths.actions[..., t].ravel() == action).all()
        state = mdp.sample_next(state, action, rng)


def test_a_deterministic_mdp_goes_where_it_must():
    targets = np.array([[1, 2], [2, 0], [0, 0]])
    mdp = FiniteMDP(np.eye(3)[targets], np.zeros((3, 2)), 0.9, [1.0, 0.0, 0.0])
    states, actions = np.arange(3).repeat(2), np.tile([0, 1], 3)
    assert (mdp.sample_next(states, actions, np.random.default_rng(0)) == targets[states, actions]).all()


@pytest.mark.parametrize("thin", [False, True], ids=["dense", "sparse"])
def test_trajectories_follow_the_mdp_and_the_policy(thin):
    mdp = random_mdp(0, S=3, A=2)
    policy = random_policy(mdp, 1, (2,))
    n = 40_000
    paths = trajectories(sparsely(mdp) if thin else mdp, policy, np.random.default_rng(2), 2, n)
    assert paths.states.shape == paths.actions.shape == paths.rewards.shape == (2, n, 2)
    np.testing.assert_array_equal(paths.rewards, mdp.r[paths.states, paths.actions])
    for run in range(2):
        s, a, following = paths.states[run, :, 0], paths.actions[run, :, 0], paths.states[run, :, 1]
        counts = np.zeros((3, 2, 3))
        np.add.at(counts, (s, a, following), 1.0 / n)
        expected = mdp.rho[:, None, None] * policy[run][:, :, None] * mdp.P
        assert np.abs(counts - expected).max() < 5 * np.sqrt(0.25 / n)


def test_impossible_transitions_never_happen():
    mdp = random_mdp(3, S=6, A=2)
    P = np.eye(6)[np.random.default_rng(4).integers(0, 6, (6, 2))]
    for problem in (type(mdp)(P, mdp.r, 0.9, mdp.rho), sparsely(type(mdp)(P, mdp.r, 0.9, mdp.rho))):
        paths = trajectories(problem, random_policy(mdp, 5), np.random.default_rng(6), 50, 100)
        reached = P[paths.states[:, :-1], paths.actions[:, :-1], paths.states[:, 1:]]
        assert (reached == 1.0).all()


@pytest.mark.parametrize("divergence", [KL(), Tsallis(0.3), Tsallis(0.7)], ids=str)
def test_estimator_is_unbiased(divergence):
    """Its expectation over every trajectory is the gradient of the truncated objective."""
    mdp, horizon = random_mdp(7, S=2, A=2, gamma=0.8), 3
    policy = TabularPolicy(divergence, np.array([0.3, 0.7]))
    regularizer = Regularizer(divergence, 0.4, policy.reference)
    theta = np.random.default_rng(8).normal(size=(2, 2))
    paths = np.array(list(itertools.product(range(2), repeat=2 * horizon)))
    states, actions = paths[:, :horizon], paths[:, horizon:]

    def likelihood(probs):
        moves = mdp.P[states[:, :-1], actions[:, :-1], states[:, 1:]].prod(-1)
        return mdp.rho[states[:, 0]] * moves * probs[states, actions].prod(-1)

    def objective(x):
        probs = policy.probs(x)
        rewards = mdp.r[states, actions] - regularizer.penalty(probs)[states]
        return likelihood(probs) @ (rewards @ mdp.gamma ** np.arange(horizon))

    basis = 1e-5 * np.eye(4).reshape(4, 2, 2)
    wanted = np.reshape([(objective(theta + e) - objective(theta - e)) / 2e-5 for e in basis], (2, 2))
    probs = policy.probs(theta)
    each = [
        gradient_estimate(mdp, policy, theta, probs, Trajectories(s, a, mdp.r[s, a]), regularizer)
        for s, a in zip(states[:, None], actions[:, None], strict=True)
    ]
    np.testing.assert_allclose(np.tensordot(likelihood(probs), each, 1), wanted, rtol=1e-7)
    batch = Trajectories(states[:7], actions[:7], mdp.r[states[:7], actions[:7]])
    together = gradient_estimate(mdp, policy, theta, probs, batch, regularizer)
    np.testing.assert_allclose(together, np.mean(each[:7], axis=0), rtol=1e-12)


def test_estimates_approach_the_exact_gradient():
    mdp, d = random_mdp(9, S=3, A=2, gamma=0.5), Tsallis(0.5)
    policy, regularizer = TabularPolicy(d), Regularizer(d, 0.2)
    theta = np.random.default_rng(10).normal(size=(3, 2))
    probs = policy.probs(theta)
    paths = trajectories(mdp, probs, np.random.default_rng(11), 30, 20_000, reward_noise=1.0)
    found = gradient_estimate(mdp, policy, theta, probs, paths, regularizer)
    exact = policy_gradient(mdp, theta, d, 0.2)
    assert np.abs(found - exact).max() < 0.05 < np.abs(exact).max()


POLICIES = {
    "softmax": TabularPolicy(),
    "log-linear": LogLinearPolicy(features=np.random.default_rng(20).normal(size=(3, 2, 4))),
    "escort": EscortPolicy(),
}


@pytest.mark.parametrize("name", POLICIES)
def test_any_policy_is_estimated(name):
    mdp, policy = random_mdp(18, S=3, A=2, gamma=0.5), POLICIES[name]
    theta = np.random.default_rng(19).normal(size=(4,) if policy.param_dims == 1 else (3, 2))
    regularizer = Regularizer(Tsallis(0.5), 0.2) if name == "log-linear" else None
    many = np.tile(theta, (4000, *np.ones(theta.ndim, int)))
    found = Sampler(np.random.default_rng(21), horizon=30).gradient(mdp, policy, many, regularizer)
    exact = value_and_gradient(mdp, policy, theta, regularizer)[1]
    assert found.shape == many.shape
    assert (np.abs(found.mean(0) - exact) < 5 * found.std(0) / np.sqrt(4000) + 1e-12).all()


def test_baselines_take_estimates():
    mdp, theta = random_mdp(22, S=3, A=2, gamma=0.5), np.random.default_rng(23).normal(size=(3, 2))
    theta /= np.linalg.norm(theta, axis=-1, keepdims=True)
    for rule in (escort, hadamard, lambda mdp, theta, step, sampler=None: log_barrier(mdp, theta, 0.1, step, sampler)):
        estimated = rule(mdp, theta, 0.1, sampler=Sampler(np.random.default_rng(24), 30, 20_000))
        exact = rule(mdp, theta, 0.1)
        assert 0.0 < np.abs(estimated - exact).max() < 0.1 * np.abs(exact - theta).max()


def test_update_repeats_from_its_seed_for_each_run():
    mdp, d = random_mdp(12), Tsallis(0.5)
    theta, coef, step = np.zeros((4, 5, 3)), np.array([0.0, 0.1, 0.0, 1.0]), np.array([0.1, 0.1, 1.0, 0.0])
    one, other = (f_pg_stochastic(mdp, theta, d, coef, step, np.random.default_rng(13)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert (one[0] != one[1]).any() and (one[3] == 0.0).all()


def test_projection_keeps_policies_off_the_boundary():
    mdp, d, reference = random_mdp(14), Tsallis(0.5), np.array([0.2, 0.3, 0.5])
    theta = 60.0 * np.random.default_rng(15).normal(size=(2, 5, 3))
    rng = np.random.default_rng(16)
    free, kept = (f_pg_stochastic(mdp, theta, d, 0.1, 0.5, rng, tau=tau, reference=reference) for tau in (0.0, 0.05))
    policy = TabularPolicy(d, reference)
    assert (policy.probs(free) < 0.05 * reference).any()
    assert (policy.probs(kept) >= 0.05 * reference * (1 - 1e-9)).all()


def test_bad_sizes_are_named():
    mdp = random_mdp(17)
    for sizes, name in (({"horizon": 0, "batch": 1}, "horizon"), ({"horizon": 1, "batch": 0}, "batch")):
        with pytest.raises(ValueError, match=f"{name}=0: must be at least 1"):
            trajectories(mdp, random_policy(mdp, 0), np.random.default_rng(0), **sizes)
