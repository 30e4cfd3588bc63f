"""The update rules: what their theorems say of them, and of the steps beyond their range."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.geometry import KL, ReverseKL, Tsallis
from agents.tabular import (
    Armijo,
    EscortPolicy,
    FiniteMDP,
    Regularizer,
    StepSizeWarning,
    TabularPolicy,
    escort,
    f_pg,
    gradient_ascent,
    hadamard,
    log_barrier,
    mdpo,
    npg,
    policy_gradient,
    ppo_clip,
    ppo_clip_step_bound,
    spg,
    spg_armijo,
    spg_theory_step,
    spma,
    spma_capped,
    spma_gap,
    value,
    value_and_gradient,
)

from .problems import random_mdp

SOFTMAX = TabularPolicy()


def unit_rewards(seed, gamma=0.9, S=5, A=4):
    """A random MDP with rewards in [0, 1], for which eta <= 1 - gamma is admissible."""
    mdp = random_mdp(seed, S, A, gamma)
    r = mdp.r - mdp.r.min()
    return FiniteMDP(mdp.P, r / r.max(), gamma, mdp.rho)


def logits(seed, runs=(), shape=(5, 4)):
    return np.random.default_rng(seed).normal(size=(*runs, *shape)) * 2.0


def improvement(mdp, before, after):
    """How much each state's value rises, [S]."""
    return mdp.evaluate(SOFTMAX.probs(after))[0] - mdp.evaluate(SOFTMAX.probs(before))[0]


@given(seed=st.integers(0, 10**6), gamma=st.floats(0.0, 0.99), share=st.floats(0.01, 1.0))
@settings(max_examples=40, deadline=None)
def test_spma_improves_every_state_within_its_range(seed, gamma, share):
    mdp, theta, eta = unit_rewards(seed, gamma), logits(seed), share * (1.0 - gamma)
    after = spma(mdp, theta, eta)
    assert (improvement(mdp, theta, after) >= -1e-12 / (1.0 - gamma)).all()
    probs = SOFTMAX.probs(theta)
    np.testing.assert_allclose(SOFTMAX.probs(after), probs * (1.0 + eta * mdp.evaluate(probs)[2]), rtol=1e-9)


@given(seed=st.integers(0, 10**6), step=st.floats(0.01, 1.0))
@settings(max_examples=20, deadline=None)
def test_npg_and_small_gradient_steps_improve(seed, step):
    mdp, theta = unit_rewards(seed), logits(seed)
    assert (improvement(mdp, theta, npg(mdp, theta, step)) >= -1e-11).all()
    assert mdp.rho @ improvement(mdp, theta, spg(mdp, theta, step * spg_theory_step(mdp))) >= -1e-12
    np.testing.assert_array_equal(mdpo(mdp, theta, step), npg(mdp, theta, step))


@pytest.mark.parametrize(("update", "slope"), [(spma, lambda x: np.log1p(-x)), (npg, lambda x: -x)])
def test_linear_rates_of_bandits(update, slope):
    """log(1 - eta gap) and -eta gap: the rate is the gap's."""
    bandit, theta, errors = FiniteMDP.bandit([0.9, 0.6, 0.3, 0.1]), np.zeros((1, 4)), []
    for _ in range(120):
        theta = update(bandit, theta, 0.8)
        errors.append(float(bandit.suboptimality(SOFTMAX.probs(theta))[0]))
    assert np.log(errors[-1] / errors[-21]) / 20 == pytest.approx(slope(0.8 * 0.3), rel=1e-3)


def test_gap_dependent_spma_squares_the_failure_probability():
    bandit, theta = FiniteMDP.bandit([1.0, 0.8, 0.3, 0.1, 0.05]), np.zeros((1, 5))
    for t in range(1, 11):
        theta = spma_gap(bandit, theta)
        failure = SOFTMAX.probs(theta)[0, 1:].sum()
        assert failure == pytest.approx(0.8 ** (2**t), rel=1e-9)
    with pytest.raises(ValueError, match=r"gamma=0.9: gap-dependent steps are for bandits"):
        spma_gap(unit_rewards(0), np.zeros((5, 4)))


def test_gap_dependent_spma_keeps_ties_level():
    bandit = FiniteMDP.bandit([1.0, 1.0, 0.2])
    probs = SOFTMAX.probs(spma_gap(bandit, np.log([[0.1, 0.3, 0.6]])))
    np.testing.assert_allclose(probs, [[0.1 * 1.6, 0.3 * 1.6, 0.36]], rtol=1e-12)


def test_capped_spma_takes_the_largest_admissible_step():
    mdp, theta = unit_rewards(1), logits(1, (3,))
    with warnings.catch_warnings():
        warnings.simplefilter("error", StepSizeWarning)
        capped = spma_capped(mdp, theta, eta_max=1.0)
    probs = SOFTMAX.probs(theta)
    advantages = mdp.evaluate(probs)[2]
    for run in range(3):
        eta = min(1.0, 0.999 / -advantages[run].min())
        np.testing.assert_allclose(capped[run], spma(mdp, theta[run], eta), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(spma_capped(mdp, theta, eta_max=1e-3), spma(mdp, theta, 1e-3), rtol=1e-12)


def test_steps_beyond_the_range_are_warned_about():
    bandit, theta = FiniteMDP.bandit([1.0, 0.0, -1.0]), np.zeros((1, 3))
    with pytest.warns(StepSizeWarning, match=r"1 \+ eta A = -0.5 < 0; probabilities are cut at zero"):
        after = spma(bandit, theta, 1.5)
    np.testing.assert_allclose(SOFTMAX.probs(after), [[2.5 / 3.5, 1.0 / 3.5, 0.0]], rtol=1e-12, atol=1e-200)
    with warnings.catch_warnings():
        warnings.simplefilter("error", StepSizeWarning)
        spma(bandit, theta, 1.0)  # 1 + eta A = 0 for the worst arm: the end of the range


def test_line_search():
    mdp, theta = unit_rewards(2), logits(2, (3,))
    search = Armijo(step_max=1e4, c=0.5)
    after, steps = spg_armijo(mdp, theta, search)
    before, gradient = value_and_gradient(mdp, SOFTMAX, theta)
    gained = value(mdp, SOFTMAX, after) - before
    assert (steps < 1e4).all() and (steps > 0.0).all()
    assert (gained >= 0.5 * steps * np.square(gradient).sum((-2, -1))).all()
    doubled = theta + 2.0 * steps[:, None, None] * gradient
    assert (value(mdp, SOFTMAX, doubled) - before < steps * np.square(gradient).sum((-2, -1))).all()
    np.testing.assert_allclose(after, theta + steps[:, None, None] * gradient)


def test_a_direction_that_only_climbs_gets_no_step():
    theta, step = Armijo(max_tries=20).descend(lambda x: -x.sum(-1), np.ones(3), np.ones(3), 1)
    assert step == 0.0
    np.testing.assert_array_equal(theta, np.ones(3))


def test_f_pg_with_kl_is_the_regularised_softmax_gradient():
    mdp, theta = unit_rewards(3), logits(3)
    expected = gradient_ascent(mdp, SOFTMAX, theta, 0.5, Regularizer(KL(), 0.1))
    np.testing.assert_allclose(f_pg(mdp, theta, KL(), 0.1, 0.5), expected, rtol=1e-12)
    np.testing.assert_allclose(f_pg(mdp, theta, KL(), 0.0, 0.5), spg(mdp, theta, 0.5), rtol=1e-12)


def test_sweeps_run_side_by_side():
    mdp, theta, steps, coefs = unit_rewards(4), logits(4, (3,)), np.array([0.1, 1.0, 3.0]), np.array([0.0, 0.1, 1.0])
    d = Tsallis(0.5)
    together = f_pg(mdp, theta, d, coefs, steps)
    clipped = ppo_clip(mdp, theta, ReverseKL(), coefs, steps, 3, 0.2)
    for run in range(3):
        np.testing.assert_allclose(together[run], f_pg(mdp, theta[run], d, coefs[run], steps[run]), atol=1e-12)
        alone = ppo_clip(mdp, theta[run], ReverseKL(), coefs[run], steps[run], 3, 0.2)
        np.testing.assert_allclose(clipped[run], alone, atol=1e-12)


@pytest.mark.parametrize("divergence", [KL(), ReverseKL(), Tsallis(0.5)], ids=str)
def test_ppo_clip_with_one_inner_step_is_the_policy_gradient(divergence):
    mdp, theta = unit_rewards(5), logits(5)
    expected = gradient_ascent(mdp, SOFTMAX, theta, 0.3, Regularizer(divergence, 0.2))
    np.testing.assert_allclose(ppo_clip(mdp, theta, divergence, 0.2, 0.3, 1, 0.2), expected, rtol=1e-9)


def test_ppo_clip_is_ascent_on_its_surrogate():
    """Each inner step against central differences of the clipped surrogate, asymmetric clip."""
    mdp, theta = unit_rewards(6), logits(6)
    old, low, high, coef, step = SOFTMAX.probs(theta), 0.1, 0.3, 0.2, 0.4
    regularizer = Regularizer(Tsallis(0.5), coef)
    advantages = mdp.evaluate(old, regularizer.penalty(old))[2]
    weights = mdp.visitation(old) / (1 - mdp.gamma)

    def surrogate(x):
        probs = SOFTMAX.probs(x)
        ratio = probs / old
        clipped = np.minimum(ratio * advantages, np.clip(ratio, 1 - low, 1 + high) * advantages)
        return weights @ ((old * clipped).sum(-1) - regularizer.penalty(probs))

    reached = theta
    for n_inner in range(1, 6):
        basis = 1e-6 * np.eye(theta.size).reshape(-1, *theta.shape)
        slope = [(surrogate(reached + e) - surrogate(reached - e)) / 2e-6 for e in basis]
        reached = reached + step * np.reshape(slope, theta.shape)
        found = ppo_clip(mdp, theta, Tsallis(0.5), coef, step, n_inner, low, high)
        np.testing.assert_allclose(found, reached, atol=1e-6)
    ratio = SOFTMAX.probs(reached) / old
    assert (ratio > 1 + high).any() and (ratio < 1 - low).any()
    free = ppo_clip(mdp, theta, KL(), 0.0, step, 5, np.inf)
    assert np.abs(free - ppo_clip(mdp, theta, KL(), 0.0, step, 5, low, high)).max() > 1e-2


def test_ppo_clip_keeps_half_the_policy_within_its_bound():
    mdp, theta = unit_rewards(7), logits(7)
    bound = ppo_clip_step_bound(mdp, theta, 0.1, 0.2, 0.3)
    probs, reference = SOFTMAX.probs(theta), np.full(4, 0.25)
    largest = np.abs(mdp.evaluate(probs, Regularizer(ReverseKL(), 0.1, reference).penalty(probs))[2]).max()
    C = np.sqrt(2) * largest * (1 / np.log(1.3) - 1 / np.log(0.8)) + 3 * largest + 0.1
    L = 8 * (1.0 + 0.1 * (np.abs(np.log(probs)).max() + np.log(2))) / 0.1**3
    assert bound == pytest.approx(min(0.1 / (8 * C), 0.1 * np.log(2) / (4 * largest + 0.8), 1 / (4 * L)))
    after = ppo_clip(mdp, theta, ReverseKL(), 0.1, bound / 10, 10, 0.2, 0.3)
    assert (SOFTMAX.probs(after) >= 0.5 * probs).all()
    with pytest.raises(ValueError, match=r"clip_range=-0.2, clip_range_high=None: must be positive"):
        ppo_clip(mdp, theta, KL(), 0.1, 0.1, 1, -0.2)


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_escort_is_gradient_ascent_in_its_parameters(p):
    mdp, theta = unit_rewards(8), logits(8)
    theta[0, 0] = 0.0
    probs = np.abs(theta) ** p
    np.testing.assert_allclose(EscortPolicy(p=p).probs(theta), probs / probs.sum(-1, keepdims=True), atol=1e-15)
    after = escort(mdp, theta, 1e-3, p)
    assert np.isfinite(after).all() and after[0, 0] == 0.0
    assert value(mdp, EscortPolicy(p=p), after) > value(mdp, EscortPolicy(p=p), theta)


def test_hadamard_stays_on_the_sphere_and_climbs():
    mdp, policy = unit_rewards(9), EscortPolicy(p=2.0)
    theta = logits(9)
    theta /= np.linalg.norm(theta, axis=-1, keepdims=True)
    np.testing.assert_allclose(policy.probs(theta), theta**2, rtol=1e-12)
    for _ in range(20):
        after = hadamard(mdp, theta, 0.01)
        np.testing.assert_allclose(np.linalg.norm(after, axis=-1), 1.0, rtol=1e-12)
        assert value(mdp, policy, after) > value(mdp, policy, theta)
        theta = after


def test_log_barrier_is_the_gradient_of_its_objective():
    mdp, theta, coef = unit_rewards(10), logits(10), 0.3

    def objective(x):
        return value(mdp, SOFTMAX, x) + coef * SOFTMAX.log_probs(x).sum((-2, -1))

    basis = 1e-5 * np.eye(theta.size).reshape(-1, *theta.shape)
    slope = [(objective(theta + e) - objective(theta - e)) / 2e-5 for e in basis]
    np.testing.assert_allclose(log_barrier(mdp, theta, coef, 1.0) - theta, np.reshape(slope, theta.shape), rtol=1e-6)


def test_policy_gradient_has_the_factor_of_the_horizon():
    mdp, theta = unit_rewards(11), logits(11)
    probs = SOFTMAX.probs(theta)
    expected = mdp.visitation(probs)[:, None] * probs * mdp.evaluate(probs)[2] / (1 - mdp.gamma)
    np.testing.assert_allclose(policy_gradient(mdp, theta), expected, rtol=1e-9, atol=1e-15)
