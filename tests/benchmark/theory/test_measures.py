"""What the experiments measure with: fits, loops, local rates, sampled learners, and a few findings in the small."""

from __future__ import annotations

import numpy as np
import pytest

from agents.geometry import KL, Divergence, ReverseKL, Tsallis
from agents.tabular import TabularPolicy, f_pg, ppo_clip, value_and_gradient
from agents.tabular.gradients import Regularizer
from agents.tabular.operators import f_prime_of
from benchmark.theory import fits, problems, sampled
from benchmark.theory.experiments import escape_times, f_pg_accuracy, pl_constants, ppo_clip_step_bound
from benchmark.theory.iterate import curve, hitting_times
from benchmark.theory.local_rate import slowest_mode


def test_rate_and_power_of_known_curves() -> None:
    t = np.arange(2000)
    assert fits.rate(0.98**t) == pytest.approx(np.log(0.98), rel=1e-12)
    assert fits.power(3.0 / (t + 1.0), start=10) == pytest.approx(-1.0, rel=1e-12)
    assert fits.first_below(0.5**t, 0.3) == 2
    assert fits.first_below(0.5**t, -1.0) == np.inf


@pytest.mark.parametrize("y", [[1.0], [1.0, np.nan, 2.0]])
def test_a_slope_needs_two_finite_points(y: list[float]) -> None:
    with pytest.raises(ValueError, match="needs two finite points"):
        fits.slope(np.arange(len(y)), y)


def test_hitting_times_stop_each_run_by_itself() -> None:
    seen: list[int] = []

    def update(theta: np.ndarray, runs: np.ndarray) -> np.ndarray:
        seen.append(len(runs))
        return theta - np.array([1.0, 2.0, 0.0])[runs]

    times = hitting_times(update, lambda theta: theta, np.array([3.0, 3.0, 3.0]), [1.5, 0.5], 4)
    assert times.tolist() == [[2.0, 3.0], [1.0, 2.0], [np.inf, np.inf]]
    assert seen == [3, 3, 2, 1]


def test_curve_has_the_value_before_and_after_every_update() -> None:
    values, theta = curve(lambda x: 2.0 * x, lambda x: x[0], np.ones(1), 3)
    assert values.tolist() == [1.0, 2.0, 4.0, 8.0]
    assert theta.tolist() == [8.0]


@pytest.mark.parametrize(
    ("policy", "regularizer"), [(KL(), KL()), (Tsallis(0.5), Tsallis(0.5)), (KL(), ReverseKL()), (KL(), Tsallis(0.3))]
)
def test_the_slowest_mode_is_the_least_curvature(policy: Divergence, regularizer: Divergence) -> None:
    mdp, coef, h = problems.random_mdp(3, 3, seed=5, gamma=0.8), 0.5, 1e-5
    probs = mdp.optimal_regularized(regularizer, coef)[2]
    theta = f_prime_of(probs, policy)
    shifts = h * np.eye(9).reshape(9, 3, 3)
    gradients = [
        value_and_gradient(mdp, TabularPolicy(policy), theta + sign * shifts, Regularizer(regularizer, coef))[1]
        for sign in (1.0, -1.0)
    ]
    hessian = (gradients[0] - gradients[1]).reshape(9, 9) / (2.0 * h)
    modes = np.sort(np.linalg.eigvalsh(-(hessian + hessian.T) / 2.0))
    assert np.abs(modes[:3]).max() < 1e-8, "a constant per state changes nothing"
    assert slowest_mode(mdp, probs, policy, regularizer, coef) == pytest.approx(modes[3], rel=1e-5)


def test_an_optimum_on_the_boundary_has_no_curvature() -> None:
    mdp = problems.bandit([0.0, 1.0])
    assert slowest_mode(mdp, np.array([[0.0, 1.0]]), KL(), KL(), 0.1) == 0.0


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_degrees_of_the_lojasiewicz_constant(alpha: float) -> None:
    mdp, coefs = problems.bandit([0.0, 1.0]), [0.0002, 0.001, 0.005]
    constants = [pl_constants.lojasiewicz(mdp, Tsallis(alpha), Tsallis(alpha), coef, 401) for coef in coefs]
    degree = fits.slope(np.log(coefs), np.log(constants))
    assert degree == pytest.approx(2.0 * (1.0 / (1.0 - alpha) + 1.0), rel=0.1)


def test_softmax_constants_are_exponential() -> None:
    mdp = problems.bandit([0.0, 1.0])
    constant = pl_constants.lojasiewicz(mdp, KL(), KL(), 0.02, 401)
    assert constant == pytest.approx(4.0 * np.exp(-2.0 / 0.02), rel=1e-3)


def test_escape_times_against_closed_forms_and_theory() -> None:
    # softmax: the integral of (1 + e^g)(1 + e^-g) / 2 = g + sinh g
    assert escape_times.flow_time(10.0, KL(), 20001) == pytest.approx(10.0 + np.sinh(10.0), rel=1e-5)
    times = [escape_times.flow_time(gap, Tsallis(0.5), 20001) for gap in (200.0, 400.0)]
    assert np.log2(times[1] / times[0]) == pytest.approx(4.0, rel=0.02)


def test_the_tuning_rule_leaves_its_range() -> None:
    assert f_pg_accuracy.tuned(np.exp(-5.5)) == pytest.approx(1.0)
    assert f_pg_accuracy.tuned(1e-2) > 1.0 > f_pg_accuracy.tuned(1e-4)


def test_the_step_bound_in_the_small() -> None:
    settings = {"coef": 0.1, "clip_range": 0.2, "n_updates": 10}
    row, gaps = ppo_clip_step_bound._follow(problems.random_mdp(3, 2, seed=0), 1.0, 3, settings)
    assert row["falls"] == 0
    assert row["smallest_ratio"] >= 0.5
    assert row["theorem_1_used"] <= 1.0 and row["theorem_2_used"] <= 1.0
    assert (np.diff(gaps) < 0.0).all()


def test_one_inner_step_of_ppo_clip_is_f_pg() -> None:
    mdp = problems.random_mdp(3, 2, seed=1)
    theta = np.random.default_rng(0).normal(size=(3, 2))
    clipped = ppo_clip(mdp, theta, KL(), 0.1, 0.5, 1, 0.2)
    np.testing.assert_allclose(clipped, f_pg(mdp, theta, KL(), 0.1, 0.5), rtol=1e-12, atol=1e-14)


def test_scores_are_shares_of_the_best_return() -> None:
    chain = sampled.task("NChain", 10, 0.99, 25)
    assert chain.horizon == 18
    right = np.tile([0.0, 1.0], (10, 1))
    assert chain.score(right) == pytest.approx(1.0)
    left = 0.01 * (0.99 ** np.arange(1, 18)).sum() / (0.99 ** np.arange(8, 18)).sum()
    assert chain.score(right[:, ::-1]) == pytest.approx(left)
    assert sampled.task("DeepSea", 4, 0.99, 25).horizon == 4


@pytest.mark.parametrize("kind", ["f_pg", "f_pg + T", "blind", "escort", "hadamard", "log_barrier"])
def test_every_learner_learns(kind: str) -> None:
    chain = sampled.task("NChain", 4, 0.9, 12)
    steps = [0.05 if kind == "hadamard" else 0.5]
    settings = {"coefs": [0.0], "steps": steps, "n_seeds": 4, "n_scores": 2, "n_updates": 120, "batch": 8, "seed": 0}
    learner = {
        "f_pg": lambda: sampled.f_pg_learner(chain, 0.7),
        "f_pg + T": lambda: sampled.f_pg_learner(chain, sampled.SOFTMAX, tau=0.01),
        "blind": lambda: sampled.blind_learner(chain, 0.7),
    }.get(kind, lambda: sampled.baseline(chain, kind, seed=0))()
    scores = sampled.learn(chain, learner, settings)
    assert scores.shape == (3, 1, 4)
    assert scores[-1].mean() > scores[0].mean() + 0.1
    np.testing.assert_array_equal(scores, sampled.learn(chain, learner, settings))
