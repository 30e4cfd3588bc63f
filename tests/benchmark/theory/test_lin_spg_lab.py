"""Trajectories of Lin-SPG's flow, its rate, its conditions and their counterexample, in the small."""

from __future__ import annotations

import numpy as np
import pytest

from agents.tabular import lin_spg_update
from agents.tabular.lin_spg import exact_rate, order_preserving_weights, violated_features
from benchmark.theory.experiments import (
    lin_spg_counterexample,
    lin_spg_examples,
    lin_spg_many_arms,
    lin_spg_rate,
    lin_spg_stochastic,
    lin_spg_three_arms,
)
from benchmark.theory.experiments._four_arms import INSTANCES, arms
from benchmark.theory.flow import direction, follow, wide_starts


def test_the_direction_is_that_of_the_gradient() -> None:
    X, r = arms("paper 1")
    theta = wide_starts(2, [1.0, 3.0], 4, seed=0)
    step = lin_spg_update(X, r, theta, 1.0) - theta
    assert np.allclose(direction(X, r, theta), step / np.linalg.norm(step, axis=-1, keepdims=True), rtol=1e-9)


def test_the_direction_is_found_where_the_gradient_underflows() -> None:
    X, r = arms("paper 1")
    far = np.array([[-3000.0, 0.0]])  # arm 2; the products of pi are below 1e-1000
    assert np.allclose(lin_spg_update(X, r, far, 1.0), far, rtol=0.0, atol=1e-250)
    found = direction(X, r, far)
    assert np.linalg.norm(found) == pytest.approx(1.0)
    pairs = X[0] - X[1] + (X[1] - X[2])  # r(i) - r(j) = 1 of the pairs (1, 2) and (2, 3), whose logits are equal here
    assert np.allclose(found[0], pairs / np.linalg.norm(pairs))


def test_the_flow_ends_where_gradient_ascent_does() -> None:
    X, r = arms("paper 2")
    starts = np.array([[0.0, 0.0], [0.0, 2.0]])
    assert follow(X, r, starts, 2000, 0.5).argmax(-1).tolist() == [0, 1]
    left = lin_spg_examples.ascend(X, r, starts, np.array([0.1, 0.1]), 3000)
    assert left[0] < 0.01 and left[1] == pytest.approx(1.0, abs=0.01)


def test_starts_are_zero_and_rings() -> None:
    starts = wide_starts(3, [1.0, 5.0], 4, seed=1)
    assert np.linalg.norm(starts, axis=-1) == pytest.approx([0.0] + 4 * [1.0] + 4 * [5.0])


@pytest.mark.parametrize(
    ("name", "kept"), [("paper 1", True), ("paper 2", False), ("realisable", True), ("no order", False)]
)
def test_reward_order_of_the_examples(name: str, kept: bool) -> None:
    assert (order_preserving_weights(*arms(name)) is not None) is kept


def test_all_examples_have_arms_in_the_order_of_rewards() -> None:
    for name in INSTANCES:
        assert (np.diff(arms(name)[1]) < 0.0).all()


def test_a_constant_step_is_1_over_t_and_a_normalised_one_exponential() -> None:
    X, r = arms("paper 1")
    gaps = lin_spg_rate._constant(X, r, np.array([exact_rate(X, r), 1.0]), 4000)[0]
    assert (np.diff(gaps[:, 0]) < 0.0).all()
    assert np.log(gaps[4000, 1] / gaps[2000, 1]) / np.log(2.0) == pytest.approx(-1.0, abs=0.02)
    normalised = lin_spg_rate._normalised(X, r, 0.1, 100)
    assert normalised[100] < 1e-6 * normalised[10]


@pytest.mark.parametrize(("a", "final"), [(0.2, 0), (0.5, 1)])
def test_the_counterexample_to_the_pairwise_condition(a: float, final: int) -> None:
    X, r = lin_spg_counterexample.features(a, 0.25), np.array([4.0, 3.0, 2.0, 1.0])
    assert order_preserving_weights(X, r) is not None and violated_features(X, r) == []
    assert not lin_spg_many_arms._triples_hold(X)
    end = follow(X, r, np.array([[-8.0, 0.0, -8.0]]), 5000, 0.5)
    assert end.argmax() == final


def test_the_trap_dies_out_as_its_power_says() -> None:
    X, r, start = (
        lin_spg_counterexample.features(0.5, 0.25),
        np.array([4.0, 3.0, 2.0, 1.0]),
        np.array([-8.0, 0.0, -8.0]),
    )
    logs = lin_spg_counterexample._log_probs(X, r, start, 1.0, 4000)
    fall = logs[4000] - logs[1000]
    assert fall[0] / fall[2] == pytest.approx(0.5 / 0.25, rel=0.02)


def test_the_condition_on_triples_holds_for_one_hot_features() -> None:
    assert lin_spg_many_arms._triples_hold(np.eye(5))
    assert not lin_spg_many_arms._triples_hold(arms("paper 2")[0])


def test_three_arms_by_brute_force() -> None:
    settings = lin_spg_three_arms.EXPERIMENT.settings(False)
    outcome = lin_spg_three_arms.EXPERIMENT.run(
        {**settings, "instances": 10, "n_directions": 6, "flow_steps": 2000}, lambda items: items
    )
    for row in outcome.rows:
        assert (row["verdict"] == "proved") == (row["lost_starts"] == 0.0)


def test_the_progress_lemma() -> None:
    assert lin_spg_stochastic._progress({"seed": 1, "lemma_cases": 50}) >= 1.0 - 1e-6
