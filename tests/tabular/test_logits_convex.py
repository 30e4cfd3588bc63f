"""LCO on tables: gradients, exact minimisers, and which algorithm each form is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from agents.geometry import KL, Tsallis, f_conjugate
from agents.tabular import FiniteMDP, TabularPolicy, lco, lco_gradient, lco_target, npg, policy_gradient
from agents.tabular.operators import softargmax

from .problems import random_mdp

FORMS = list(itertools.product(["kld", "mse", "log_cosh"], ["dense", "sparse"]))
REFERENCE = np.random.default_rng(0).dirichlet(np.full(3, 3.0), 5)
POLICIES = {
    "softmax": TabularPolicy(),
    "tsallis": TabularPolicy(Tsallis(0.5)),
    "referenced": TabularPolicy(Tsallis(0.5), REFERENCE),
}


def state_losses(policy, z, z_old, shift, match, advantages):
    """The loss of each state [S] by its definition, up to a constant: the sparse ones as a sum over sampled actions."""
    old, n = policy.probs(z_old), z.shape[-1]

    def loss(target):
        if match == "kld":  # Fenchel-Young loss without phi(p*)
            q = None if policy.reference is None else torch.from_numpy(policy.reference)
            conjugate = f_conjugate(torch.from_numpy(z), policy.divergence, 1.0, q).numpy()
            return conjugate - (policy.probs(target) * z).sum(-1)
        return (np.square(z - target) if match == "mse" else np.log(np.cosh(z - target))).sum(-1) / n

    if advantages == "dense":
        return loss(z_old + shift)
    return sum(old[:, a] * loss(z_old + shift * np.eye(n)[a]) for a in range(n))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(("match", "advantages"), FORMS)
def test_gradients_and_minimisers(name, match, advantages):
    policy, rng = POLICIES[name], np.random.default_rng(1)
    z, z_old, shift = rng.normal(size=(3, 5, 3)) * np.array([1.0, 1.0, 3.0])[:, None, None]
    old = policy.probs(z_old)
    found = lco_gradient(policy, z, z_old, old, shift, match, advantages)
    basis = 1e-5 * np.eye(z.size).reshape(-1, *z.shape)

    def total(at):
        return state_losses(policy, at, z_old, shift, match, advantages).sum()

    wanted = [(total(z + e) - total(z - e)) / 2e-5 for e in basis]
    np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-6, atol=1e-8)
    minimiser = lco_target(policy, z_old, old, shift, match, advantages)
    at_minimum = lco_gradient(policy, minimiser, z_old, old, shift, match, advantages)
    np.testing.assert_allclose(at_minimum, 0.0, atol=1e-12)
    runs = np.stack([z_old, z])
    together = lco_target(policy, runs, policy.probs(runs), shift, match, advantages)
    np.testing.assert_allclose(together[0], minimiser, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shift", [1e-9, 1e-3, 1.0, 30.0, 400.0, 5000.0])
@pytest.mark.parametrize("share", [1e-12, 0.3, 0.5, 0.7, 1.0])
def test_sparse_log_cosh_minimiser_for_any_shift(share, shift):
    old = np.array([[share, 1.0 - share]])
    for sign in (1.0, -1.0):
        shifts = np.full((1, 2), sign * shift)
        moved = sign * lco_target(TabularPolicy(), np.zeros((1, 2)), old, shifts, "log_cosh", "sparse")
        assert (moved >= -1e-15 * shift).all() and (moved <= shift * (1 + 1e-9)).all()
        residual = old * np.tanh(moved - shift) + (1.0 - old) * np.tanh(moved)
        np.testing.assert_allclose(residual, 0.0, atol=1e-15 * (1.0 + shift))


@pytest.mark.parametrize("match", ["kld", "mse", "log_cosh"])
def test_dense_is_npg(match):
    mdp, theta = random_mdp(2), np.random.default_rng(3).normal(size=(5, 3))
    np.testing.assert_allclose(lco(mdp, theta, 4.0, match), npg(mdp, theta, 0.25), rtol=1e-12)


def test_sparse_mse_is_a_policy_gradient_step():
    """z_old + pi A / beta: the softmax policy gradient but for the visitation weights."""
    mdp, theta = random_mdp(4), np.random.default_rng(5).normal(size=(5, 3))
    d = mdp.visitation(TabularPolicy().probs(theta))[:, None]
    expected = theta + (1 - mdp.gamma) * policy_gradient(mdp, theta) / d / 2.0
    np.testing.assert_allclose(lco(mdp, theta, 2.0, "mse", "sparse"), expected, rtol=1e-9)


@pytest.mark.parametrize(("match", "advantages"), FORMS)
@pytest.mark.parametrize("name", POLICIES)
def test_gradient_steps_approach_the_minimiser(name, match, advantages):
    mdp, policy = random_mdp(6, gamma=0.5), POLICIES[name]
    theta = np.random.default_rng(7).normal(size=(2, 5, 3))
    exact = policy.probs(lco(mdp, theta, 1.0, match, advantages, policy=policy))
    few, many = (
        np.abs(policy.probs(lco(mdp, theta, 1.0, match, advantages, 3.0, n, policy)) - exact).max() for n in (1, 200)
    )
    assert many < 0.1 * few


def test_one_step_weighs_states_by_their_visits():
    mdp, theta, policy = random_mdp(8), np.random.default_rng(9).normal(size=(5, 3)), TabularPolicy()
    old = policy.probs(theta)
    shift = mdp.evaluate(old)[2] / 3.0
    gradient = lco_gradient(policy, theta, theta, old, shift, "kld", "dense")
    expected = theta - 0.7 * mdp.visitation(old)[:, None] * gradient
    np.testing.assert_allclose(lco(mdp, theta, 3.0, step=0.7), expected, rtol=1e-12)


def test_dense_is_linear_and_sparse_sublinear_on_a_bandit():
    bandit = FiniteMDP.bandit([1.0, 0.7, 0.4, 0.1])
    errors = {}
    for match, advantages in FORMS:
        theta = np.zeros((1, 4))
        for t in range(1, 401):
            theta = lco(bandit, theta, 1.0, match, advantages)
            if t in (200, 400):
                errors[match, advantages, t] = float(bandit.suboptimality(softargmax(theta, KL()))[0])
    for match, advantages in FORMS:
        fall = errors[match, advantages, 400] / errors[match, advantages, 200]
        if advantages == "dense":
            assert np.log(fall) / 200 == pytest.approx(-0.3, rel=1e-6)
        else:
            assert fall == pytest.approx(0.5, abs=0.03)


def test_bad_arguments_are_named():
    mdp, theta = random_mdp(10), np.zeros((5, 3))
    with pytest.raises(ValueError, match="match='kdl': expected one of kld, mse, log_cosh, did you mean 'kld'"):
        lco(mdp, theta, 1.0, "kdl")
    with pytest.raises(ValueError, match="advantages='spars': expected one of dense, sparse, did you mean 'sparse'"):
        lco(mdp, theta, 1.0, "kld", "spars")
    with pytest.raises(ValueError, match=r"beta=0\.0: must be positive"):
        lco(mdp, theta, 0.0)
