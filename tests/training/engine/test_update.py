"""The fused update is the torch update: same minibatches, parameters to float rounding, the same numbers logged."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from agents import LCO, MDPO, PPO, REINFORCE, SPMA
from agents.training.engine import FusedEngine, fused_engine
from agents.training.engine.columns import columns_of
from agents.training.engine.update import FusedUpdate
from agents.training.on_policy import OnPolicy
from agents.training.updates import Means, make_update
from envs import make_vec

EXECUTORS = ("numba", "numpy") if find_spec("numba") else ("numpy",)
#: 256 transitions in 8 minibatches, 4 times.
SMALL: dict[str, Any] = {"n_steps": 128, "batch_size": 32, "n_epochs": 4, "device": "cpu", "seed": 0, "engine": "torch"}
HEADS = {"softmax": "CartPole-v1", "tsallis:0.5": "CartPole-v1", "gaussian": "Pendulum-v1"}
ALGORITHMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "PPO": (PPO, {"ent_coef": 0.01}),
    "SPMA": (SPMA, {}),
    "MDPO": (MDPO, {}),
    "LCO": (LCO, {}),
}


def filled(cls: Any, head: str, **kwargs: Any) -> OnPolicy:
    """An algorithm with a rollout that it has learnt from once, so that old and new policy and the moments differ."""
    policy_kwargs = {"head": head, "net_arch": [64, 64]} | kwargs.pop("policy_kwargs", {})
    model = cls("MlpPolicy", make_vec(HEADS[head], n_envs=2, seed=0), policy_kwargs=policy_kwargs, **SMALL | kwargs)
    _, callback = model._setup_learn(512)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    model.close_rollout()
    make_update(model)(model)
    return model


def fused_update(model: OnPolicy, executor: str = "numpy") -> FusedUpdate:
    engine = fused_engine(model, executor)
    assert isinstance(engine, FusedEngine)
    assert (engine.gradient.executor, engine.gradient.reason) == (executor, "")
    return engine.update_of(model)


def both_updates(executor: str, cls: Any, head: str, **kwargs: Any) -> tuple[list[OnPolicy], list[Means]]:
    """The same update by torch and fused, and their diagnostics."""
    models, found = [filled(cls, head, **kwargs) for _ in range(2)], []
    for model, fused in zip(models, (False, True), strict=True):
        np.random.seed(7)
        update = fused_update(model, executor) if fused else make_update(model)
        found.append(update(model))
        model.random_after = np.random.random()
    assert models[0].random_after == models[1].random_after
    return models, found


def assert_same(models: list[OnPolicy], found: list[Means], atol: float = 1e-6) -> None:
    theirs, ours = (dict(model.policy.named_parameters()) for model in models)
    for name, parameter in ours.items():
        assert (parameter - theirs[name]).abs().max() <= atol, name
    steps = [{s["step"].item() for s in model.policy.optimizer.state_dict()["state"].values()} for model in models]
    assert steps[0] == steps[1]
    expected, means = (diagnostics.means() for diagnostics in found)
    assert found[0].epochs == found[1].epochs
    assert set(expected) == set(means)
    for name in set(means) - {"head_divergence", "negative_share"}:  # torch looks at these once per pass
        assert means[name] == pytest.approx(expected[name], rel=1e-4, abs=2e-6), name


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_thirty_two_minibatches(name: str, head: str, executor: str) -> None:
    cls, kwargs = ALGORITHMS[name]
    models, found = both_updates(executor, cls, head, **kwargs)
    assert_same(models, found)


@pytest.mark.parametrize("head", ["softmax", "gaussian"])
def test_thirty_two_minibatches_over_shared_layers(head: str) -> None:
    shared = {"features_extractor_class": "SharedMlp", "features_extractor_kwargs": {"net_arch": [64]}}
    models, found = both_updates("numpy", PPO, head, policy_kwargs=shared, ent_coef=0.01)
    assert_same(models, found)


@pytest.mark.filterwarnings("ignore:batch_size=.* does not divide the rollout")
@pytest.mark.parametrize(
    ("cls", "kwargs"),
    [
        (PPO, {"normalize_advantage": False, "max_grad_norm": None, "clip_range_vf": 0.2}),
        (PPO, {"batch_size": 100}),  # the last minibatch of each pass is smaller
        (PPO, {"batch_size": 255}),  # and here it has one row, whose advantage is not normalised
        (PPO, {"n_critic_updates": 2}),
        (PPO, {"regularizer": "js", "reg_coef": 0.1, "reg_where": "loss", "reg_reference": "initial"}),
        (PPO, {"learning_rate": 3e-3, "target_kl": 1e-3}),
        (SPMA, {"n_critic_updates": 3, "max_grad_norm": 0.5}),
        (REINFORCE, {}),
    ],
)
def test_other_ways_to_spend_a_rollout(cls: Any, kwargs: dict[str, Any]) -> None:
    models, found = both_updates("numpy", cls, "softmax", **kwargs)
    assert_same(models, found)
    if "target_kl" in kwargs:
        assert 1 <= found[1].epochs < SMALL["n_epochs"]


def test_metrics_of_every_minibatch() -> None:
    """Those that torch computes once per pass are means over all minibatches here; with one per pass they agree."""
    _, found = both_updates("numpy", PPO, "softmax", batch_size=256)
    expected, means = (diagnostics.means() for diagnostics in found)
    assert means["negative_share"] == pytest.approx(expected["negative_share"], rel=1e-5)
    assert means["head_divergence"] == pytest.approx(expected["head_divergence"], rel=1e-5)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("cls", [PPO, MDPO])
def test_repeats_are_bit_identical(cls: Any, executor: str) -> None:
    results = []
    for _ in range(2):
        model = filled(cls, "gaussian")
        np.random.seed(3)
        means = fused_update(model, executor)(model).means()
        results.append(([p.detach().numpy() for p in model.policy.parameters()], repr(means)))
    for first, second in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(first, second)
    assert results[0][1] == results[1][1]


def test_a_learning_rate_that_moves_is_read_at_each_update() -> None:
    models, found = both_updates("numpy", PPO, "softmax")
    update = fused_update(models[1])
    for model, run in zip(models, (make_update(models[0]), update), strict=True):
        model.policy.optimizer.param_groups[0]["lr"] = 0.0
        before = [p.detach().clone() for p in model.policy.parameters()]
        np.random.seed(1)
        run(model)
        assert all(torch.equal(p, q) for p, q in zip(model.policy.parameters(), before, strict=True))
        model.policy.optimizer.param_groups[0]["lr"] = 1e-3
        run(model)
    assert_same(models, found)


@pytest.mark.parametrize("cls", [PPO, SPMA, MDPO])
def test_a_step_that_is_not_finite_is_not_made(cls: Any) -> None:
    model = filled(cls, "softmax")
    update = fused_update(model)
    before = update.optimizer.flat.array.copy()
    model.rollout_buffer.policy_advantages[:] = np.nan
    with pytest.raises(FloatingPointError, match=r"gradient's norm is nan \(loss nan\)"):
        update(model)
    np.testing.assert_array_equal(update.optimizer.flat.array, before)


def test_columns_are_views_in_the_order_of_the_rows() -> None:
    buffer = filled(PPO, "gaussian").rollout_buffer
    columns = columns_of(buffer)
    rows = buffer.permutation()
    batch = next(iter(buffer.get(shuffle=False)))
    for column, tensor in zip(columns, batch, strict=True):
        if tensor is not None:
            np.testing.assert_array_equal(column[rows], tensor.numpy()[rows])
            assert column.flags.c_contiguous
    assert np.shares_memory(columns.observations, buffer.observations)
