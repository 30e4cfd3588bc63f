"""Samplers without torch draw from the head's own distribution, by NumPy and by Numba alike."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats

from agents.distributions import FSoftargmaxCategorical
from agents.policies.heads import make_head
from agents.training.engine.sampling import make_sampler

EXECUTORS = ["numpy", *(["numba"] if importlib.util.find_spec("numba") else [])]
BOX = spaces.Box(-1, 1, (2,), np.float32)
FACTORS = {
    "softmax": spaces.Discrete(5),
    "tsallis:0.5": spaces.Discrete(5),
    "tsallis:1.5": spaces.Discrete(5),
    "softmax on MultiDiscrete": spaces.MultiDiscrete([2, 4]),
    "tsallis:0.5 on MultiDiscrete": spaces.MultiDiscrete([3, 3]),
    "tsallis:0.5 on MultiDiscrete of several sizes": spaces.MultiDiscrete([2, 5, 3]),
    "softmax on MultiBinary": spaces.MultiBinary(3),
    "binned:5/tsallis:0.5": BOX,
    "binned:5,ordinal": BOX,
}
N = 20_000


def drawn(name: str, space: spaces.Space, executor: str) -> tuple[object, np.ndarray, np.ndarray]:
    """The head's distribution at one state, the actions of N draws, and what would be executed."""
    head = make_head(name.partition(" on ")[0], space)
    sampler = make_sampler(head, space, executor)
    assert not isinstance(sampler, str)
    row = np.random.default_rng(1).standard_normal(head.param_size).astype(np.float32)
    np.random.seed(0)
    noise = sampler.noise(1, N)[0]
    dtype = np.float32 if isinstance(space, spaces.Box) else np.int64
    actions = np.zeros((N, *(space.shape or ())), dtype)
    executed = sampler(np.tile(row, (N, 1)), noise, actions)
    return head(torch.from_numpy(row)[None]), actions, executed


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", FACTORS)
def test_factors_are_drawn_with_their_probabilities(name: str, executor: str) -> None:
    policy, actions, executed = drawn(name, FACTORS[name], executor)
    assert np.array_equal(actions, executed)
    values, counts = np.unique(actions.reshape(N, -1), axis=0, return_counts=True)
    log_prob = policy.expand((len(values),)).log_prob(torch.from_numpy(values if actions.ndim > 1 else values[:, 0]))
    expected = N * log_prob.double().exp().numpy()
    assert (expected > 0).all()
    likely = expected >= 5
    rest = counts[~likely].sum(), N - expected[likely].sum()
    observed, predicted = np.append(counts[likely], rest[0]), np.append(expected[likely], max(rest[1], 1e-9))
    keep = predicted > 1
    assert stats.chisquare(observed[keep], predicted[keep] * observed[keep].sum() / predicted[keep].sum()).pvalue > 1e-4


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ["gaussian", "q_gaussian:0.5", "q_gaussian:1.5"])
def test_densities_are_drawn_from_and_clipped_for_execution(name: str, executor: str) -> None:
    policy, actions, executed = drawn(name, BOX, executor)
    torch.manual_seed(0)
    reference = policy.sample((N,))[:, 0].numpy()
    for dimension in range(2):
        assert stats.ks_2samp(actions[:, dimension], reference[:, dimension]).pvalue > 1e-4
    assert np.array_equal(executed, actions.clip(-1, 1))
    assert (actions != executed).any()


@pytest.mark.skipif(len(EXECUTORS) == 1, reason="Numba is not installed")
@pytest.mark.parametrize("name", [*FACTORS, "gaussian"])
def test_numba_and_numpy_draw_the_same_actions(name: str) -> None:
    by_numpy, by_numba = (drawn(name, FACTORS.get(name, BOX), executor)[1] for executor in EXECUTORS)
    assert (np.abs(by_numpy - by_numba) > 1e-5).mean() < 1e-3  # where a number falls on an edge


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_ends_of_the_unit_interval_give_no_action_of_probability_zero(executor: str) -> None:
    head = make_head("tsallis:2", space := spaces.Discrete(4))
    scores = np.array([[-9.0, 0.0, 0.1, -9.0]] * 2, np.float32)
    policy = head(torch.from_numpy(scores))
    assert isinstance(policy, FSoftargmaxCategorical)
    assert (policy.probs[0] > 0).tolist() == [False, True, True, False]
    actions = np.zeros(2, np.int64)
    sampler = make_sampler(head, space, executor)
    assert not isinstance(sampler, str)
    sampler(scores, np.array([[0.0], [1.0]], np.float32), actions)
    assert actions.tolist() == [1, 2]


@pytest.mark.skipif(len(EXECUTORS) == 1, reason="Numba is not installed")
@pytest.mark.parametrize("name", ["softmax", "tsallis:0.5"])
@pytest.mark.parametrize("sizes", [[3, 3], [2, 5, 3]])
def test_the_weights_of_products_are_the_heads_probabilities(name: str, sizes: list[int]) -> None:
    head = make_head(name, space := spaces.MultiDiscrete(sizes))
    sampler: Any = make_sampler(head, space, "numba")
    parameters = np.random.default_rng(0).standard_normal((4, sum(sizes))).astype(np.float32)
    weights = sampler._weights(parameters)
    assert sampler._weights == sampler._own_weights  # without torch
    expected = sampler._torch_weights(parameters)
    np.testing.assert_allclose(weights / weights.sum(-1, keepdims=True), expected, rtol=1e-5, atol=1e-7)
