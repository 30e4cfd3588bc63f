"""Rates of SPMA, NPG, MDPO and LCO in the small; sampled bandits; linear features."""

from __future__ import annotations

import numpy as np
import pytest

from agents.tabular import spg, spma
from benchmark.theory import problems
from benchmark.theory.experiments import (
    lco_convexity,
    lco_dense_sparse,
    lco_gradients,
    linear_features,
    mdpo_spma,
    spma_bandits,
    spma_mdps,
    spma_superlinear,
    stochastic_bandits,
)
from benchmark.theory.pulls import SOFTMAX, rewards_of, sampled_update
from benchmark.theory.registry import Experiment, Outcome


def run(experiment: Experiment, **changes: object) -> Outcome:
    settings = experiment.settings(full=False)
    assert set(changes) <= set(settings)
    return experiment.run({**settings, **changes}, lambda items: items)


def verdicts(outcome: Outcome) -> list[str]:
    return [finding.verdict for finding in outcome.findings]


def test_bandits_side_by_side_run_as_each_alone() -> None:
    alone = [problems.random_bandit(3, seed) for seed in (0, 1)]
    both = problems.side_by_side(alone)
    theta = np.array([[0.3, 0.0, -1.0], [1.0, 0.2, 0.0]])
    for update, steps in ((spma, (0.5, 0.5)), (spg, (1.0, 0.5))):
        for i, one in enumerate(alone):
            assert np.allclose(update(both, theta, steps[0])[i], update(one, theta[i : i + 1], steps[1])[0], rtol=1e-12)


def test_bandit_slopes_are_those_of_theory() -> None:
    outcome = run(spma_bandits.EXPERIMENT, n_arms=[2, 10], seeds=[0], min_gap=0.02, spg_updates=4000)
    for row in outcome.rows:
        assert row["spma_slope"] == pytest.approx(np.log1p(-float(row["gap"])), rel=1e-6)
        assert row["npg_slope"] == pytest.approx(-float(row["gap"]), rel=1e-6)
        assert float(row["spg_power"]) == pytest.approx(-1.0, abs=0.1)
    assert verdicts(outcome)[:2] == ["holds", "holds"]


def test_gap_dependent_steps_square_the_rest() -> None:
    outcome = run(spma_superlinear.EXPERIMENT, n_arms=[2, 10], samples=[1], noisy_runs=5, noisy_updates=5)
    exact = [row for row in outcome.rows if row["samples"] == "exact" and row["n_arms"] == 10]
    assert [row["rest"] for row in exact[:3]] == pytest.approx([0.9, 0.81, 0.6561], rel=1e-12)
    assert verdicts(outcome) == ["holds", "holds under the exact sign of every gap"]


def test_mdp_slopes_and_the_bound_of_each_update() -> None:
    outcome = run(
        spma_mdps.EXPERIMENT,
        mdps=[[3, 2, 0.5, 0.1]],
        bound_updates=50,
        most_updates=50,
        lake_updates=5,
        spg_steps=[10.0],
    )
    fitted = [row for row in outcome.rows if np.isfinite(row["slope"])]
    assert [row["rule"] for row in fitted] == ["SPMA", "NPG"]
    for row in fitted:
        assert row["slope"] == pytest.approx(row["theory"], rel=0.02)
    assert float(fitted[0]["over_bound"]) < 0.0


def test_hessians_of_lco_and_where_ppo_is_convex() -> None:
    outcome = run(lco_convexity.EXPERIMENT, n_actions=[2, 5], samples=200)
    assert [row["lowest_mse"] for row in outcome.rows] == [1.0, 0.4]
    assert all(row["rule_agrees"] == 1.0 and float(row["off"]) < 1e-7 for row in outcome.rows)
    assert outcome.rows[1]["ppo_convex_negative"] == 0.0


def test_gradient_bounds_and_contraction() -> None:
    outcome = run(
        lco_gradients.EXPERIMENT, n_actions=[3], samples=300, jacobians=[[3, 6], [3, 1]], repeats=1, descents=50
    )
    rows = {
        (row["part"], row["loss"], row["n_parameters"]): row for row in outcome.rows if row["part"] == "contraction"
    }
    wide, narrow = rows["contraction", "mse", 6], rows["contraction", "mse", 1]
    assert wide["fitted"] == pytest.approx(wide["theory"], rel=1e-6)
    assert narrow["fitted"] == pytest.approx(0.0, abs=1e-9)
    assert verdicts(outcome)[0] == "holds"


def test_dense_lco_is_npg_and_sparse_mse_the_policy_gradient() -> None:
    mdp, bandit = problems.random_mdp(3, 2, seed=0), problems.bandit([0.9, 0.5, 0.1])
    same = lco_dense_sparse._same(mdp, bandit, 0.7, {"compared": 5})
    assert same["dense"] < 1e-12 and same["sparse"] < 1e-12


def test_one_inner_step_is_policy_gradient() -> None:
    apart = mdpo_spma._apart(problems.random_mdp(4, 3, seed=1))
    assert apart["npg"] == 0.0 and apart["eta"] < 1e-9 and apart["cosine"] == pytest.approx(1.0, abs=1e-12)


def test_linear_features_rows_for_every_step_and_the_table() -> None:
    small = {"CliffWalking": [20], "FrozenLake": [10]}
    outcome = run(linear_features.EXPERIMENT, features=small, inner_steps=[1, 2], n_updates=2)
    grids = linear_features.EXPERIMENT.settings(False)["grids"]
    per_m = len(grids["SPMA"]) + len(grids["MDPO"])
    assert len(outcome.rows) == 2 * (
        2 * 2 + 3 * per_m
    )  # two tasks: 2 SPG each for d and table, m = 1, 2 and the table's 2
    assert all(0.0 < float(row["left"]) <= 1.0 + 1e-12 for row in outcome.rows)


def test_sampled_updates_estimate_the_exact_ones() -> None:
    means, theta = np.array([0.8, 0.5, 0.2]), np.array([0.2, -0.3, 0.5])
    rng = np.random.default_rng(0)
    runs = np.broadcast_to(theta, (200_000, 3))
    step = (sampled_update("SPG", means, runs, 1.0, rng, "bernoulli") - runs).mean(0)
    assert step == pytest.approx(spg(problems.bandit(means), theta[None], 1.0)[0] - theta, abs=4e-3)
    tilt = np.exp(sampled_update("SPMA", means, runs, 0.5, rng, 0.0, batch=2) - runs).mean(0)
    probs = SOFTMAX.probs(theta)
    assert tilt == pytest.approx(1.0 + 0.5 * (means - probs @ means), abs=1e-2)


def test_bernoulli_rewards_are_zero_or_one() -> None:
    drawn = rewards_of(np.array([0.3]), np.zeros(20_000, np.int64), "bernoulli", np.random.default_rng(0))
    assert set(drawn.tolist()) == {0.0, 1.0}
    assert drawn.mean() == pytest.approx(0.3, abs=0.02)


def test_large_sampled_steps_of_spma_commit_and_batches_do_not() -> None:
    outcome = run(
        stochastic_bandits.EXPERIMENT,
        etas={"SPG": [0.4], "SPMA": [0.3], "NPG": [0.3]},
        noises=["bernoulli", 0.1],
        batches=[10],
        runs=100,
        n_updates=2000,
    )
    rows = [row for row in outcome.rows if row["noise"] == "bernoulli"]
    wrong = {(row["rule"], row["batch"]): row["at_wrong_arm"] for row in rows}
    assert float(wrong["SPMA", 1]) > 0.1 and float(wrong["NPG", 1]) > 0.2
    assert wrong["SPMA", 10] == 0.0
