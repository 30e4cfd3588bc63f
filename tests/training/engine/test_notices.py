"""What the fused engine notices of a model that is changed under it, or is not what it was made for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agents.training.engine
import envs
from agents import PPO
from agents.objectives import PolicyLoss
from agents.policies import ActorCriticPolicy
from agents.training.engine.trunk import executor_named

from .small_runs import ENGINES, SMALL, Calls, frozen, model_of, weights


def hooked(callback: Any) -> None:
    callback.model.policy.action_net.register_forward_hook(lambda *_: callback.model.heard.append(1))


def other_value_net(callback: Any) -> None:
    policy = callback.model.policy
    policy.value_net = nn.Linear(64, 1)
    nn.init.constant_(policy.value_net.bias, 50.0)
    policy.optimizer = torch.optim.Adam(policy.parameters())


def frozen_values(callback: Any) -> None:
    callback.model.policy.value_net.weight.requires_grad_(False)


@pytest.mark.parametrize("event", ["start", "rollout", "rollout_end"])
def test_a_hook_is_heard_from_when_it_was_put_there(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.training.engine, "PAYS_FROM", 0)
    model = model_of("auto")
    model.heard = []  # type: ignore[attr-defined]
    model.learn(48, Calls(**{event: hooked}))
    assert "hooks: on action_net" in model.engine_description
    assert len(model.heard) == 8 + (24 if event != "rollout_end" else 0)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="engine='fused': hooks"):
        model_of("fused").learn(48, Calls(start=hooked))


def test_layers_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.training.engine, "PAYS_FROM", 0)
    model = model_of("auto", learning_rate=frozen)
    model.learn(48, Calls(rollout=other_value_net))
    assert "fused" in model.engine_description
    assert model.rollout_buffer.values.mean() > 40
    for network in (model.policy.mlp_extractor.policy_net, model.policy.mlp_extractor.value_net):
        network[1], network[3] = nn.ReLU(), nn.ReLU()
    model.learn(48)
    with torch.no_grad():
        values = model.policy.predict_values(torch.from_numpy(model.rollout_buffer.observations.reshape(48, -1)))
    np.testing.assert_allclose(model.rollout_buffer.values.ravel(), values.flatten().numpy(), rtol=1e-5)
    model.learn(48, Calls(rollout_end=frozen_values))
    assert "frozen" in model.engine_description


class OwnSampled(ActorCriticPolicy):
    def sampled(self, *args: Any) -> torch.Tensor:
        return super().sampled(*args)


class OwnValues(ActorCriticPolicy):
    def predict_values(self, *args: Any) -> torch.Tensor:
        return super().predict_values(*args)


class OwnLimit(PPO):
    def beyond_target_kl(self, *args: Any) -> bool:
        return super().beyond_target_kl(*args)


def test_what_is_done_in_an_own_way_stays_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.training.engine, "PAYS_FROM", 0)
    for name, model in {
        "own sampled": PPO(OwnSampled, envs.make_vec("CartPole-v1", 2), **SMALL),
        "own predict_values": PPO(OwnValues, envs.make_vec("CartPole-v1", 2), **SMALL),
        "own beyond_target_kl": model_of("auto", cls=OwnLimit),
    }.items():
        model.learn(48)
        assert name in model.engine_description
    for name in ("evaluate", "sampled"):
        model = model_of("auto")
        setattr(model.policy, name, getattr(model.policy, name))
        model.learn(48)
        assert f"own {name}" in model.engine_description
    model = model_of("auto")
    model.critic_loss = model.critic_loss  # type: ignore[method-assign]
    model.learn(48)
    assert "own critic_loss" in model.engine_description


class Plain:
    """The policy gradient times a number, without metrics."""

    def __init__(self, scale: Any = 1.0) -> None:
        self.scale = scale

    def __call__(self, new: Any, old: Any, actions: torch.Tensor, advantages: torch.Tensor) -> PolicyLoss:
        return PolicyLoss(-self.scale * advantages * (new.log_prob(actions) - old.log_prob(actions)).exp(), {})


class WithPlain(PPO):
    def objective(self) -> Any:
        return Plain()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_objective_needs_no_metrics(engine: str) -> None:
    model = model_of(engine, cls=WithPlain)
    before = weights(model)
    model.learn(48)
    assert not torch.equal(weights(model), before)
    with pytest.raises(ValueError, match=r"target_kl=0.01: the objective has no metric 'approx_kl'"):
        model_of(engine, cls=WithPlain, target_kl=0.01)


@pytest.mark.parametrize("nothing", [0.0, np.float32(0), torch.tensor(0.0)], ids=lambda x: type(x).__name__)
def test_what_an_objective_holds_may_be_replaced(nothing: Any) -> None:
    after: list[torch.Tensor] = []
    engines: list[str] = []

    def rollout(callback: Any) -> None:
        after.append(weights(callback.model))
        if len(after) == 2:
            callback.model._objective.scale = nothing

    def rollout_end(callback: Any) -> None:
        engines.append(callback.model.engine_description)

    model = model_of("fused", cls=WithPlain, vf_coef=0.0, policy_kwargs={"optimizer_kwargs": {"betas": (0.0, 0.9)}})
    model._objective.scale = type(nothing)(1) if not isinstance(nothing, torch.Tensor) else torch.tensor(1.0)  # type: ignore[attr-defined]
    model.learn(192, Calls(rollout=rollout, rollout_end=rollout_end))
    assert not torch.equal(after[0], after[1])
    assert torch.equal(after[1], after[2]) and torch.equal(after[2], after[3])
    assert "objective by torch" not in engines[0]
    assert "objective by torch: Plain.scale has changed" in engines[1]


def test_numba_that_compiles_nothing_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert executor_named("auto") == "numpy"


def test_torchs_default_precision_is_no_matter() -> None:
    model = model_of("fused")
    torch.set_default_dtype(torch.float64)
    try:
        model.learn(48)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in model.policy.parameters()} == {torch.float32}


def test_large_finite_outputs_are_acted_on() -> None:
    model = model_of("fused", learning_rate=frozen)
    with torch.no_grad():
        model.policy.action_net.bias.copy_(torch.tensor([2e19, 0.0]))
    model.learn(
        48, Calls(rollout_end=lambda callback: np.testing.assert_array_equal(callback.model.rollout_buffer.actions, 0))
    )
