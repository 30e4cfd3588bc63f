"""SPMA and MDPO with linear features: inner steps on the projected objectives."""

from __future__ import annotations

import numpy as np
import pytest

from agents.geometry import ChiSquare, Tsallis
from agents.tabular import (
    Armijo,
    EscortPolicy,
    LogLinearPolicy,
    StepSizeWarning,
    TabularPolicy,
    gradient_ascent,
    mdpo_projected,
    npg,
    spma,
    spma_projected,
    value,
)

from .problems import random_mdp

FEATURES = np.random.default_rng(0).normal(size=(5, 3, 4))
LINEAR = LogLinearPolicy(features=FEATURES)
POLICIES = {
    "linear": LINEAR,
    "linear tsallis": LogLinearPolicy(Tsallis(0.5), features=FEATURES),
    "tabular": TabularPolicy(),
    "escort": EscortPolicy(),
}
ETA = 0.05


def objective(rule, mdp, policy, theta):
    """The projection's objective by its definition, as a function of the new parameters."""
    old = policy.probs(theta)
    d, advantages = mdp.visitation(old), mdp.evaluate(old)[2]
    if rule is spma_projected:
        target = old * (1 + ETA * advantages)
        return lambda x: d @ (target * np.log(target / policy.probs(x))).sum(-1)

    def mdpo(x):
        probs = policy.probs(x)
        return d @ ((probs * np.log(probs / old)).sum(-1) / ETA - (probs * advantages).sum(-1))

    return mdpo


@pytest.mark.parametrize("rule", [spma_projected, mdpo_projected])
@pytest.mark.parametrize("name", POLICIES)
def test_inner_steps_descend_the_objective(rule, name):
    mdp, policy = random_mdp(1), POLICIES[name]
    theta = np.random.default_rng(2).normal(size=(4,) if policy.param_dims == 1 else (5, 3))
    loss, reached = objective(rule, mdp, policy, theta), theta
    for n_inner in range(1, 4):
        basis = 1e-5 * np.eye(theta.size).reshape(-1, *theta.shape)
        slope = np.reshape([(loss(reached + e) - loss(reached - e)) / 2e-5 for e in basis], theta.shape)
        reached = reached - 0.02 * slope
        np.testing.assert_allclose(rule(mdp, policy, theta, ETA, n_inner, 0.02), reached, atol=1e-8)


@pytest.mark.parametrize(("rule", "tabular"), [(spma_projected, spma), (mdpo_projected, npg)])
def test_enough_steps_on_a_table_are_the_tabular_update(rule, tabular):
    mdp, theta = random_mdp(3, S=3, gamma=0.5), np.random.default_rng(4).normal(size=(3, 3))
    exact = TabularPolicy().probs(tabular(mdp, theta, ETA))
    found = TabularPolicy().probs(rule(mdp, TabularPolicy(), theta, ETA, 100, Armijo(step_max=100.0)))
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_mdpo_with_one_step_is_policy_gradient():
    mdp, theta = random_mdp(5), np.random.default_rng(6).normal(size=4)
    expected = gradient_ascent(mdp, LINEAR, theta, 0.3 * (1 - mdp.gamma))
    np.testing.assert_allclose(mdpo_projected(mdp, LINEAR, theta, ETA, 1, 0.3), expected, rtol=1e-9)


@pytest.mark.parametrize("rule", [spma_projected, mdpo_projected])
def test_armijo_never_raises_the_objective_and_runs_are_independent(rule):
    mdp, theta = random_mdp(7), np.random.default_rng(8).normal(size=(3, 4))
    after = rule(mdp, LINEAR, theta, ETA, 5, Armijo(step_max=1e3))
    for run in range(3):
        loss = objective(rule, mdp, LINEAR, theta[run])
        assert loss(after[run]) < loss(theta[run])
        alone = rule(mdp, LINEAR, theta[run], ETA, 5, Armijo(step_max=1e3))
        np.testing.assert_allclose(after[run], alone, rtol=1e-6)
    assert (value(mdp, LINEAR, after) > value(mdp, LINEAR, theta)).all()


def test_a_step_beyond_the_range_is_warned_about():
    mdp, theta = random_mdp(9), np.zeros(4)
    with pytest.warns(StepSizeWarning, match="beyond the admissible range"):
        after = spma_projected(mdp, LINEAR, theta, 50.0, 3, 0.1)
    assert np.isfinite(after).all()


def test_sparse_heads_are_refused():
    policy = LogLinearPolicy(ChiSquare(), features=FEATURES)
    for rule in (spma_projected, mdpo_projected):
        with pytest.raises(ValueError, match="policy: its divergence chi2 is sparse"):
            rule(random_mdp(10), policy, np.zeros(4), 0.1, 1, 0.1)
