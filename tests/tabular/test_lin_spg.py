"""Lin-SPG: its conditions on published examples, what they predict of the iterates, and its updates."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from agents.geometry import KL
from agents.tabular import StepSizeWarning, lin_spg, lin_spg_stochastic, lin_spg_update
from agents.tabular.operators import softargmax

R = np.array([9.0, 8.0, 7.0, 6.0])
FIRST = np.array([[0.0, -2.0], [-1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])  # arXiv 2505.03155, the two examples
SECOND = FIRST[[0, 2, 1, 3]]
GOOD = np.array([[1.2, -3.6], [-0.2, -1.0], [-0.2, 0.3], [0.1, 0.6]])  # two of equal approximation error
BAD = np.array([[-1.3, -0.7], [1.7, -0.09168962480246538], [-3.2, 0.6], [-1.3, -0.6]])
REALISABLE = 0.3 * np.array([[3.0, -5.0], [2.0, 10.0], [1.0, 0.0], [0.0, -10.0]])  # r = X w exactly, yet it fails


def arm_probabilities(X, theta):
    return softargmax(theta @ X.T, KL())


def flow(X, r, theta, length=300.0, pace=0.05):
    """The arms' probabilities after gradient flow for a given length of path: plateaus are crossed at full pace."""
    for _ in range(int(length / pace)):
        probs = arm_probabilities(X, theta)
        gradient = (probs * (probs @ (r - r[:, None]))) @ X
        theta = theta + pace * gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-300)
    return arm_probabilities(X, theta)


def test_the_two_published_examples():
    first, second = lin_spg.will_converge(FIRST, R), lin_spg.will_converge(SECOND, R)
    assert first.approximation_error == pytest.approx(np.sqrt(202.6), rel=1e-12)
    assert second.approximation_error == pytest.approx(np.sqrt(205.0), rel=1e-12)
    assert (np.diff(FIRST @ first.order_weights) < 0.0).all() and second.order_weights is None
    assert first.features_hold and lin_spg.violated_features(SECOND, R) == [(1, 2)]
    assert (first.verdict, first.converges, second.verdict) == ("unknown", None, "unknown")
    assert first.exact_rate == pytest.approx(4 / 405, rel=1e-12)
    assert lin_spg.non_domination(SECOND) and lin_spg.npg_will_converge(SECOND, R)


@pytest.mark.parametrize(("X", "arm", "steps"), [(FIRST, 0, 323), (SECOND, 1, 849)])
def test_where_the_examples_end_and_when(X, arm, steps):
    theta = np.array([0.0, 2.0])
    for t in range(1, steps + 1):
        theta = lin_spg_update(X, R, theta, 0.1)
        assert (arm_probabilities(X, theta)[arm] > 0.99) == (t == steps)


def test_equal_errors_and_no_error_at_all():
    good, bad, realisable = (lin_spg.will_converge(X, R) for X in (GOOD, BAD, REALISABLE))
    assert good.approximation_error == pytest.approx(bad.approximation_error, rel=1e-10)
    assert (good.verdict, bad.verdict) == ("unknown", "unknown")
    assert (good.features_hold, good.order_weights is not None) == (True, True)
    exact = lin_spg.will_converge(REALISABLE, [3.0, 2.0, 1.0, 0.0])
    assert exact.approximation_error < 1e-13 and exact.order_weights is not None
    assert (exact.verdict, realisable.features_hold) == ("unknown", False)
    theta = np.zeros(2)
    for _ in range(3000):
        theta = lin_spg_update(REALISABLE, np.array([3.0, 2.0, 1.0, 0.0]), theta, 1.0)
    assert arm_probabilities(REALISABLE, theta)[1] > 0.99  # the second best


@pytest.mark.parametrize("seed", range(8))
def test_three_arms_are_decided_exactly(seed):
    rng = np.random.default_rng(seed)
    X, r = rng.normal(size=(3, 2)), np.array([1.0, 0.5, 0.0])
    towards_worst = (X[2] - X[0]) / np.linalg.norm(X[2] - X[0])
    found = lin_spg.will_converge(X, r)
    assert found.converges == ((X[1] - X[2]) @ (X[0] - X[2]) > 0.0)
    reached = flow(X, r, 12.0 * np.stack([towards_worst, *np.eye(2), *-np.eye(2)]))
    assert (reached[0, 0] > 0.9) == found.converges
    if found.converges:
        assert (reached[:, 0] > 0.9).all()


def test_three_arms_on_a_line():
    for X, verdict, reason in (
        ([[2.0], [1.0], [0.0]], "proved", "both together suffice"),
        ([[0.0], [2.0], [1.0]], "refuted", "stay there"),
        ([[1.0], [2.0], [0.0]], "refuted", "no w ranks the best arm first"),
        ([[1.0], [0.0], [0.0]], "proved", "share their features"),
        ([[0.0], [0.0], [1.0]], "refuted", "no w ranks the best arm first"),
    ):
        found = lin_spg.will_converge(X, [2.0, 1.0, 0.0])
        assert found.verdict == verdict
        assert reason in str(found)
    edge = lin_spg.will_converge([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]], [2.0, 1.0, 0.0])
    assert edge.verdict == "proved"
    edge = lin_spg.will_converge([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [2.0, 1.0, 0.0])
    assert (edge.verdict, edge.converges) == ("unknown", None)
    assert lin_spg.will_converge([[1.0], [0.0]], [1.0, 0.0]).verdict == "proved"


def test_order_is_not_necessary_for_four_arms():
    """Arm 2 inside the segment of arms 3 and 4: no w orders the arms, yet theta_2 rises with pi(1) (r(1) - <pi, r>)."""
    X = np.array([[0.0, 1.0], [0.5, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    found = lin_spg.will_converge(X, R)
    assert found.order_weights is None and found.features_hold and found.verdict == "unknown"
    starts = np.array(list(itertools.product([-4.0, 0.0, 4.0], repeat=2)))
    assert (flow(X, R, starts)[:, 0] > 0.99).all()


def test_tabular_features_and_the_order_of_the_arms():
    """X = I is the table; a permutation of the arms changes nothing."""
    r = np.random.default_rng(0).permutation(12) / 12.0
    found = lin_spg.will_converge(np.eye(12), r)
    assert (found.verdict, found.features_hold) == ("unknown", True)
    permutation = [2, 0, 3, 1]
    shuffled = lin_spg.will_converge(SECOND[permutation], R[permutation])
    assert shuffled.verdict == "unknown"
    assert lin_spg.violated_features(SECOND[permutation], R[permutation]) == [(3, 0)]
    assert shuffled.approximation_error == pytest.approx(np.sqrt(205.0), rel=1e-12)


@pytest.mark.parametrize(("K", "d"), [(10, 10), (15, 50), (20, 10), (20, 50)])
def test_more_arms_and_features(K, d):
    rng = np.random.default_rng(K + d)
    X, r = rng.normal(size=(K, d)), rng.permutation(K) / K
    found = lin_spg.will_converge(X, r)
    if found.order_weights is not None:
        assert (np.diff((X @ found.order_weights)[np.argsort(-r)]) < 0.0).all()
    assert (d < K - 1) or found.order_weights is not None
    assert found.approximation_error == pytest.approx(np.linalg.norm(X @ np.linalg.pinv(X) @ r - r), abs=1e-9)
    assert 0.0 < found.stochastic_rate < found.exact_rate


def test_rates():
    largest, smallest = np.square(np.linalg.svd(GOOD, compute_uv=False))
    rho = 8 * 9.0**3 * 4**1.5 / 1.0
    expected = min(1 / (6 * largest**1.5 * np.sqrt(18.0)), smallest / (6 * rho * largest**2))
    assert lin_spg.stochastic_rate(GOOD, R) == pytest.approx(expected, rel=1e-12)
    assert lin_spg.exact_rate(GOOD, R) == pytest.approx(4 / (81 * largest), rel=1e-12)
    padded = np.hstack([GOOD, np.zeros((4, 3))])  # features that move nothing change nothing
    assert lin_spg.stochastic_rate(padded, R) == pytest.approx(expected, rel=1e-9)
    with pytest.warns(StepSizeWarning, match=r"eta=0\.1: beyond 0\.00987654, the admissible range of exact Lin-SPG"):
        lin_spg.will_converge(FIRST, R, eta=0.1)


def test_stochastic_update_is_unbiased():
    theta, n = np.array([0.3, -0.2]), 200_000
    exact = lin_spg_update(FIRST, R, theta, 0.1)
    many = lin_spg_stochastic(FIRST, R, np.tile(theta, (n, 1)), 0.1, np.random.default_rng(0), reward_noise=1.0)
    assert (np.abs(many.mean(0) - exact) < 5 * many.std(0) / np.sqrt(n)).all()
    alone = lin_spg_stochastic(FIRST, R, theta, 0.1, np.random.default_rng(1))
    moves = [theta + 0.1 * R[a] * (FIRST[a] - arm_probabilities(FIRST, theta) @ FIRST) for a in range(4)]
    assert min(np.abs(alone - move).max() for move in moves) < 1e-14


def test_runs_take_their_own_rates():
    theta, eta = np.random.default_rng(2).normal(size=(3, 2)), np.array([0.1, 1.0, 10.0])
    together = lin_spg_update(FIRST, R, theta, eta)
    for run in range(3):
        np.testing.assert_allclose(together[run], lin_spg_update(FIRST, R, theta[run], eta[run]), rtol=1e-12)


@pytest.mark.parametrize(
    ("X", "r", "message"),
    [
        (FIRST, R[:3], "r: has shape (3,), must have shape (4)"),
        (FIRST[0], R, "X: has shape (2,), must have shape (any, any)"),
        (FIRST[:1], R[:1], "r: has 1 arm, must have at least 2"),
        (FIRST, [9.0, 7.0, 8.0, 7.0], "r[1]=r[3]=7.0: the theory is for distinct rewards"),
        (np.zeros((4, 2)), R, "X: all features are 0"),
        (FIRST * np.nan, R, "X[0, 0]=nan: must be finite"),
    ],
)
def test_bad_input_is_named(X, r, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        lin_spg.will_converge(X, r)
