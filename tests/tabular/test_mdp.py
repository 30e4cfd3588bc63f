"""FiniteMDP: evaluation, visitation, planning; dense and sparse; what it refuses."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from agents.geometry import KL, ChiSquare, JensenShannon, ReverseKL, Tsallis
from agents.tabular import FiniteMDP
from agents.tabular.operators import divergence_of, softargmax

from .problems import chain, random_mdp, random_policy, sparsely

DIVERGENCES = [KL(), ReverseKL(), Tsallis(0.3), Tsallis(1.5), JensenShannon(), ChiSquare()]


def test_evaluation_is_the_discounted_sum():
    mdp = random_mdp(0, gamma=0.5)
    policy, penalty = random_policy(mdp, 1), np.linspace(0.0, 1.0, mdp.n_states)
    P_pi = np.einsum("sa,sat->st", policy, mdp.P)
    rewards, reach, V, d = (policy * mdp.r).sum(-1) - penalty, np.eye(mdp.n_states), 0.0, 0.0
    for t in range(60):
        V, d = V + mdp.gamma**t * reach @ rewards, d + (1 - mdp.gamma) * mdp.gamma**t * mdp.rho @ reach
        reach = reach @ P_pi
    values, Q, advantages = mdp.evaluate(policy, penalty)
    np.testing.assert_allclose(values, V, rtol=1e-12)
    np.testing.assert_allclose(mdp.visitation(policy), d, rtol=1e-12)
    np.testing.assert_allclose(Q, mdp.r - penalty[:, None] + mdp.gamma * mdp.P @ V, rtol=1e-12)
    np.testing.assert_allclose(advantages, Q - V[:, None], atol=1e-13)


@given(st.integers(0, 10**6), st.floats(0.0, 0.999))
@settings(max_examples=30, deadline=None)
def test_visitation_is_a_distribution_and_carries_the_return(seed, gamma):
    mdp = random_mdp(seed, gamma=gamma)
    policy = random_policy(mdp, seed)
    d = mdp.visitation(policy)
    assert d.min() >= 0.0
    assert d.sum() == pytest.approx(1.0, rel=1e-12)
    assert d @ (policy * mdp.r).sum(-1) == pytest.approx((1 - gamma) * mdp.rho @ mdp.evaluate(policy)[0], abs=1e-12)


@pytest.mark.parametrize("runs", [(), (3,), (2, 2)])
def test_sparse_is_dense_and_runs_are_independent(runs):
    mdp = random_mdp(2)
    policy = random_policy(mdp, 3, runs)
    penalty = np.random.default_rng(4).random((*runs, mdp.n_states))
    dense, thin = mdp.evaluate(policy, penalty), sparsely(mdp).evaluate(policy, penalty)
    for one, other in zip(dense, thin, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(mdp.visitation(policy), sparsely(mdp).visitation(policy), rtol=1e-12)
    for run in np.ndindex(runs):
        for one, other in zip(dense, mdp.evaluate(policy[run], penalty[run]), strict=True):
            np.testing.assert_allclose(one[run], other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("runs", [(), (3,), (2, 2)])
def test_without_a_future_values_are_rewards(runs):
    """gamma = 0 needs no solve; the other gammas' limit."""
    mdp, near = random_mdp(2, gamma=0.0), random_mdp(2, gamma=1e-15)
    policy = random_policy(mdp, 3, runs)
    penalty = np.random.default_rng(4).random((*runs, mdp.n_states))
    V, Q, _ = mdp.evaluate(policy, penalty)
    np.testing.assert_array_equal(V, (policy * Q).sum(-1))
    np.testing.assert_array_equal(Q, mdp.r - penalty[..., None])
    np.testing.assert_array_equal(mdp.visitation(policy), np.broadcast_to(mdp.rho, (*runs, mdp.n_states)))
    for one, other in zip(mdp.evaluate(policy, penalty), near.evaluate(policy, penalty), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def test_episodic_states_in_order_of_time():
    """A triangular P, which is factorised in its own order."""
    n = 6
    P = np.zeros((n, 2, n))
    for s in range(n):
        P[s, 0, min(s + 1, n - 1)] = P[s, 1, min(s + 2, n - 1)] = 1.0
    mdp = FiniteMDP(P, np.random.default_rng(0).random((n, 2)), 0.95, np.eye(n)[0])
    policy = random_policy(mdp, 0)
    for one, other in zip(mdp.evaluate(policy), sparsely(mdp).evaluate(policy), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_optimal_policy_beats_every_deterministic_one(seed):
    mdp = random_mdp(seed, S=3, A=3)
    V, Q, policy = mdp.optimal()
    candidates = np.eye(3)[np.array(list(itertools.product(range(3), repeat=3)))]
    np.testing.assert_allclose(V, mdp.evaluate(candidates)[0].max(0), rtol=1e-12)
    np.testing.assert_allclose(V, Q.max(-1), rtol=1e-12)
    np.testing.assert_allclose(mdp.evaluate(policy)[0], V, rtol=1e-12)
    for one, other in zip(sparsely(mdp).optimal(), (V, Q, policy), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_bellman_equation_of_a_long_chain():
    mdp = chain(1000)
    V, Q, policy = mdp.optimal()
    np.testing.assert_allclose(V, Q.max(-1), rtol=1e-9)
    assert policy[-100:, 1].all()
    assert policy[0, 0] == 1.0  # the far reward is worth 1e-3 of the near one here


def test_ties_end():
    """Every policy is optimal."""
    mdp = FiniteMDP(np.full((4, 3, 4), 0.25), np.ones((4, 3)), 0.99, np.full(4, 0.25))
    np.testing.assert_allclose(mdp.optimal()[0], 100.0, rtol=1e-12)


def test_suboptimality_keeps_its_digits():
    mdp = random_mdp(6)
    V, _, best = mdp.optimal()
    policy = random_policy(mdp, 7)
    np.testing.assert_allclose(mdp.suboptimality(policy), V - mdp.evaluate(policy)[0], rtol=1e-10)
    near = [mdp.suboptimality((1 - eps) * best + eps * policy) / eps for eps in (1e-8, 1e-30, 1e-200)]
    np.testing.assert_allclose(near[1], near[0], rtol=1e-6)
    np.testing.assert_allclose(near[2], near[1], rtol=1e-12)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=str)
@given(seed=st.integers(0, 10**6), coef=st.floats(1e-3, 10.0))
@settings(max_examples=5, deadline=None)
def test_regularised_optimum_is_a_fixed_point(divergence, seed, coef):
    mdp = random_mdp(seed)
    reference = random_policy(mdp, seed + 1)
    for q in (None, reference, reference[0]):
        V, Q, policy = mdp.optimal_regularized(divergence, coef, q)
        np.testing.assert_allclose(Q, mdp.r + mdp.gamma * mdp.P @ V, rtol=1e-12)
        np.testing.assert_allclose(policy, softargmax(Q, divergence, coef, q), rtol=1e-8, atol=1e-12)
        penalty = coef * divergence_of(policy, divergence, q)
        np.testing.assert_allclose(V, (policy * Q).sum(-1) - penalty, rtol=1e-11, atol=1e-12)
        better = 0.9 * policy + 0.1 * random_policy(mdp, seed + 2)
        assert (mdp.evaluate(better, coef * divergence_of(better, divergence, q))[0] <= V + 1e-10).all()


def test_small_coefficients_reach_the_optimum():
    mdp = random_mdp(8)
    V, _, policy = mdp.optimal()
    gap = V - mdp.optimal_regularized(KL(), 1e-4)[0]
    assert (gap >= -1e-12).all()
    assert (gap <= 1e-4 * np.log(3) / (1 - mdp.gamma) + 1e-12).all()  # nearly attained: equal but for rounding
    np.testing.assert_array_equal(mdp.optimal_regularized(KL(), 0.0)[2], policy)


def test_chain_of_1e5_states():
    n = 100_000
    mdp = chain(n)
    policy = np.full((n, 2), 0.5)
    V, Q, advantages = mdp.evaluate(policy)
    assert V.shape == (n,) and Q.shape == advantages.shape == (n, 2)
    np.testing.assert_allclose(V, (policy * (mdp.r + mdp.gamma * mdp.expected(V))).sum(-1), rtol=1e-12, atol=1e-14)
    assert mdp.visitation(policy).sum() == pytest.approx(1.0, rel=1e-12)
    stored = sum(part.nbytes for part in (mdp.P.data, mdp.P.indices, mdp.P.indptr))
    assert stored < 100 * n
    factors = mdp.chain(policy)._factors[0]
    assert factors.L.nnz + factors.U.nnz < 20 * n


def test_inputs_are_copied():
    rng = np.random.default_rng(0)
    P, r = sparse.csr_array(rng.dirichlet(np.ones(4), 8)), rng.random((4, 2))
    mdp = FiniteMDP(P, r, 0.9, np.full(4, 0.25))
    P.data[:] = 7.0
    r[:] = 7.0
    assert mdp.P.data.max() <= 1.0 and mdp.r.max() <= 1.0


GOOD = {"P": np.full((3, 2, 3), 1 / 3), "r": np.zeros((3, 2)), "gamma": 0.9, "rho": [1.0, 0.0, 0.0]}


def changed(values, index, value):
    values = np.array(values, dtype=float)
    values[index] = value
    return values


def flat(P):
    return sparse.csr_array(np.reshape(P, (6, 3)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("P", changed(GOOD["P"], (2, 1), [0.5, 0.3, 0.1]), "P[2, 1]: must be a distribution, sums to 0.9"),
        ("P", changed(GOOD["P"], (2, 1), [1.5, -0.5, 0.0]), "P[2, 1, 1]=-0.5: a probability must be at least 0"),
        ("P", changed(GOOD["P"], (0, 1, 2), np.nan), "P[0, 1, 2]=nan: must be finite"),
        ("P", np.full((2, 3, 3), 1 / 3), "P: has shape (2, 3, 3), must have shape (3, 2, 3)"),
        ("P", flat(changed(GOOD["P"], (2, 1), [0.5, 0.3, 0.1])), "P[2, 1]: must be a distribution, sums to 0.9"),
        ("P", flat(changed(GOOD["P"], (2, 1), [1.5, -0.5, 0.0])), "P[2, 1, 1]=-0.5: a probability must be at least 0"),
        ("P", flat(changed(GOOD["P"], (2, 1, 0), np.inf)), "P[2, 1, 0]=inf: a probability must be finite"),
        ("P", sparse.csr_array(np.full((3, 3), 1 / 3)), "P: sparse of shape (3, 3), must be [S A, S] = (6, 3)"),
        ("r", np.zeros(3), "r: has shape (3,), must have shape (any, any)"),
        ("r", np.zeros((0, 2)), "r: has shape (0, 2), must not be empty"),
        ("r", changed(GOOD["r"], (1, 0), np.inf), "r[1, 0]=inf: must be finite"),
        ("gamma", 1.0, "gamma=1.0: must lie in [0, 1)"),
        ("gamma", -0.1, "gamma=-0.1: must lie in [0, 1)"),
        ("gamma", float("nan"), "gamma=nan: must lie in [0, 1)"),
        ("rho", [0.5, 0.4, 0.0], "rho: must be a distribution, sums to 0.9"),
        ("rho", [1.0, 0.5, -0.5], "rho[2]=-0.5: a probability must be at least 0"),
        ("rho", [0.5, 0.5], "rho: has shape (2,), must have shape (3)"),
    ],
)
def test_bad_input_is_named(field, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FiniteMDP(**{**GOOD, field: value})


@pytest.mark.parametrize("call", ["evaluate", "visitation", "suboptimality"])
def test_bad_policies_are_named(call):
    mdp = FiniteMDP(**GOOD)
    with pytest.raises(ValueError, match=re.escape("policy: has shape (2, 2), must have shape (3, 2)")):
        getattr(mdp, call)(np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match=re.escape("policy[1]: must be a distribution, sums to 1.5")):
        getattr(mdp, call)(changed(np.full((3, 2), 0.5), (1, 0), 1.0))


def test_other_bad_arguments_are_named():
    mdp = FiniteMDP(**GOOD)
    with pytest.raises(ValueError, match=r"penalty: has shape \(2,\), must have shape \[S\] = \(3,\)"):
        mdp.evaluate(np.full((3, 2), 0.5), [0.0, 0.0])
    with pytest.raises(ValueError, match=r"coef=-1.0: must be at least 0"):
        mdp.optimal_regularized(KL(), -1.0)
    with pytest.raises(ValueError, match=r"reference\[0\]: must be a distribution, sums to 2"):
        mdp.optimal_regularized(KL(), 1.0, [1.0, 1.0])
