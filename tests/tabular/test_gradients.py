"""Exact gradients and Jacobian products of every policy and regulariser, against central differences."""

from __future__ import annotations

import numpy as np
import pytest

from agents.geometry import KL, ChiSquare, Hellinger, JensenShannon, ReverseKL, Tsallis
from agents.tabular import (
    EscortPolicy,
    LogLinearPolicy,
    Regularizer,
    TabularPolicy,
    policy_gradient,
    value,
    value_and_gradient,
)

from .problems import random_mdp, random_policy, sparsely

S, A, D = 5, 3, 4
DIVERGENCES = [KL(), ReverseKL(), Tsallis(0.1), Tsallis(0.5), Tsallis(1.5), JensenShannon(), ChiSquare(), Hellinger()]
FULL_SUPPORT = [d for d in DIVERGENCES if d.full_support]
FEATURES = np.random.default_rng(11).normal(size=(S, A, D))
REFERENCE = np.random.default_rng(12).dirichlet(np.full(A, 3.0), S)
POLICIES = {
    **{f"tabular {d}": TabularPolicy(d) for d in DIVERGENCES},
    **{f"tabular {d} reference": TabularPolicy(d, REFERENCE) for d in DIVERGENCES},
    **{f"log-linear {d}": LogLinearPolicy(d, features=FEATURES) for d in DIVERGENCES},
    "log-linear reference": LogLinearPolicy(Tsallis(0.5), REFERENCE[0], features=FEATURES),
    "escort 2": EscortPolicy(p=2.0),
    "escort 3": EscortPolicy(p=3.0),
}
REGULARIZERS = {
    "none": None,
    **{str(d): Regularizer(d, 0.3) for d in DIVERGENCES},
    **{f"{d} reference": Regularizer(d, 0.3, REFERENCE) for d in DIVERGENCES},
}


def start(policy, runs=()):
    shape = (D,) if policy.param_dims == 1 else (S, A)
    return np.random.default_rng(5).normal(size=(*runs, *shape)) * 0.5


def central_differences(function, theta, h=1e-5):
    return np.array([(function(theta + e) - function(theta - e)) / (2 * h) for e in h * basis(theta)])


def basis(theta):
    return np.eye(theta.size).reshape(theta.size, *theta.shape)


@pytest.mark.parametrize("name", POLICIES)
def test_jacobian_products(name):
    policy = POLICIES[name]
    theta = start(policy)
    probs = policy.probs(theta)
    np.testing.assert_allclose(probs.sum(-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.exp(policy.log_probs(theta)), probs, rtol=1e-12)
    jacobian = central_differences(policy.probs, theta)  # [parameters, S, A]
    pushed = np.array([policy.jvp(theta, probs, e) for e in basis(theta)])
    np.testing.assert_allclose(pushed, jacobian, rtol=1e-6, atol=1e-8)
    cotangent = np.random.default_rng(6).normal(size=(S, A))
    pulled = policy.vjp(theta, probs, cotangent)
    np.testing.assert_allclose(pulled.ravel(), np.einsum("psa,sa->p", pushed, cotangent), rtol=1e-10, atol=1e-12)


def pairs() -> list:
    """Every policy with every regulariser whose divergence from it is finite and smooth; references in both or none."""
    return [
        pytest.param(policy, regularizer, id=f"{policy_name} | {name}")
        for policy_name, policy in POLICIES.items()
        for name, regularizer in REGULARIZERS.items()
        if regularizer is None
        or (
            ("reference" in policy_name) == ("reference" in name)
            and (policy.divergence.full_support or not regularizer.divergence.full_support)
        )
    ]


@pytest.mark.parametrize(("policy", "regularizer"), pairs())
def test_gradient_is_that_of_the_value(policy, regularizer):
    mdp = random_mdp(3, S, A)
    theta = start(policy)
    found, gradient = value_and_gradient(mdp, policy, theta, regularizer)
    assert found == pytest.approx(float(value(mdp, policy, theta, regularizer)), rel=1e-13)
    wanted = central_differences(lambda x: value(mdp, policy, x, regularizer), theta)
    np.testing.assert_allclose(gradient.ravel(), wanted, rtol=1e-6, atol=1e-7 * np.abs(wanted).max())


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=str)
@pytest.mark.parametrize("reference", [None, REFERENCE], ids=["uniform", "reference"])
def test_the_regularised_optimum_is_stationary(divergence, reference):
    """theta* = Q* / coef (arXiv 2601.12604)."""
    mdp = random_mdp(4, S, A)
    _, Q, policy = mdp.optimal_regularized(divergence, 0.7, reference)
    assert (np.abs(policy_gradient(mdp, Q / 0.7, divergence, 0.7, reference)) < 1e-9).all()
    np.testing.assert_allclose(TabularPolicy(divergence, reference).probs(Q / 0.7), policy, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["tabular kl", "tabular tsallis:0.5", "log-linear kl", "escort 2"])
def test_runs_are_independent_and_sparse_is_dense(name):
    mdp, policy = random_mdp(5, S, A), POLICIES[name]
    theta, coef = start(policy, (3,)), np.array([0.0, 0.1, 1.0])
    for other in (mdp, sparsely(mdp)):
        values, gradients = value_and_gradient(other, policy, theta, Regularizer(Tsallis(0.5), coef))
        for run in range(3):
            one, gradient = value_and_gradient(mdp, policy, theta[run], Regularizer(Tsallis(0.5), coef[run]))
            assert values[run] == pytest.approx(float(one), rel=1e-12)
            np.testing.assert_allclose(gradients[run], gradient, rtol=1e-9, atol=1e-13)


def test_forward_kl_pulls_back_from_a_vanished_action():
    """The logit gradient coef (pi - ref) of KL(ref || pi) is the same at 1e-40 and at 0 (arXiv 2512.16565)."""
    mdp = random_mdp(6, S, A, gamma=0.0)
    for gap in (90.0, 5000.0):
        theta = np.zeros((S, A))
        theta[:, 0] = -gap
        pull = value_and_gradient(mdp, TabularPolicy(), theta, Regularizer(ReverseKL(), 0.6))[1]
        np.testing.assert_allclose(pull[:, 0], mdp.rho * 0.6 / A, rtol=1e-9)


def test_full_support_is_kept():
    theta = np.array([[0.0, -1e4, 3.0]])
    for divergence in FULL_SUPPORT:
        assert TabularPolicy(divergence).probs(theta).min() > 0.0
    assert TabularPolicy(ChiSquare()).probs(theta)[0, 1] == 0.0
    masked = TabularPolicy(KL(), np.array([0.5, 0.0, 0.5])).probs(theta)
    assert masked[0, 1] == 0.0


def test_policies_refuse():
    with pytest.raises(ValueError, match=r"features: has shape \(5, 3\), must have shape \(any, any, any\)"):
        LogLinearPolicy(features=np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"p=0.5: must be at least 1"):
        EscortPolicy(p=0.5)


def test_wrong_shapes_are_named():
    mdp = random_mdp(7, S, A)
    with pytest.raises(ValueError, match=r"policy: has shape \(4, 3\), must end in \[S, A\] = \(5, 3\)"):
        policy_gradient(mdp, np.zeros((4, 3)))


def test_random_policies_are_their_own_reference():
    """D_f(pi || pi) = 0 is a minimum: no slope."""
    mdp = random_mdp(8, S, A, gamma=0.5)
    reference = random_policy(mdp, 9)
    theta = np.log(reference)
    for divergence in DIVERGENCES:
        with_it = value_and_gradient(mdp, TabularPolicy(), theta, Regularizer(divergence, 5.0, reference))
        without = value_and_gradient(mdp, TabularPolicy(), theta)
        np.testing.assert_allclose(with_it[0], without[0], rtol=1e-12)
        np.testing.assert_allclose(with_it[1], without[1], rtol=1e-10, atol=1e-13)
