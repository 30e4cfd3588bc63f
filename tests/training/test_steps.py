"""Optimiser steps: Armijo's condition, the trust region against sb3-contrib's, and what moves which parameters."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import TRPO as ContribTRPO
from sb3_contrib.common import utils as contrib_utils
from stable_baselines3.common.env_util import make_vec_env
from torch import Tensor, nn

from agents import LCO, MDPO, PPO, REINFORCE, SPMA, TRPO
from agents.policies import MlpPolicy
from agents.training.steps import ArmijoStep, GradientStep, TrustRegionStep, conjugate_gradient
from agents.training.updates import make_update

SMALL: dict[str, Any] = {"n_steps": 128, "batch_size": 64, "seed": 0, "device": "cpu"}


def _quadratic(scales: list[float]) -> tuple[nn.Parameter, Any]:
    parameter = nn.Parameter(torch.ones(len(scales), dtype=torch.float64))
    weights = torch.tensor(scales, dtype=torch.float64)
    return parameter, lambda: 0.5 * (weights * parameter.square()).sum()


def test_armijo_accepts_the_first_step_that_decreases_enough() -> None:
    parameter, loss_fn = _quadratic([1.0, 10.0])
    before, start = loss_fn(), parameter.detach().clone()
    gradient = torch.tensor([1.0, 10.0], dtype=torch.float64)
    metrics = ArmijoStep([parameter], c=0.5)(before, loss_fn, loss_fn)
    size = metrics["step_size"].item()
    torch.testing.assert_close(parameter.detach(), start - size * gradient)
    assert loss_fn() <= before - 0.5 * size * gradient.square().sum()
    assert size == pytest.approx(1e6 * 0.9 ** (metrics["forward_passes"].item() - 1))
    with torch.no_grad():
        parameter.copy_(start - size / 0.9 * gradient)
        assert loss_fn() > before - 0.5 * size / 0.9 * gradient.square().sum()


def test_armijo_carries_its_step_within_an_update_and_forgets_it_between() -> None:
    parameter, loss_fn = _quadratic([1.0])
    step = ArmijoStep([parameter], c=0.1)
    first = step(loss_fn(), loss_fn, loss_fn)
    second = step(loss_fn(), loss_fn, loss_fn)
    assert first["forward_passes"] > 100
    assert second["forward_passes"] < 10
    assert second["step_size"] <= 1.8 * first["step_size"]
    step.begin_update()
    assert step(loss_fn(), loss_fn, loss_fn)["forward_passes"] > 100


def test_armijo_refuses_what_is_not_finite_and_gives_up_in_place() -> None:
    parameter = nn.Parameter(torch.ones(1, dtype=torch.float64))
    start = parameter.detach().clone()

    def only_here() -> Tensor:
        return torch.where(parameter == 1, parameter, torch.nan).sum()

    metrics = ArmijoStep([parameter], max_tries=20)(only_here(), only_here, only_here)
    assert (metrics["step_size"].item(), metrics["forward_passes"].item()) == (0.0, 20.0)
    assert torch.equal(parameter.detach(), start)


def test_conjugate_gradient_solves() -> None:
    torch.manual_seed(0)
    factor = torch.randn(12, 12, dtype=torch.float64)
    matrix, b = factor @ factor.T + torch.eye(12, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    x = conjugate_gradient(lambda v: matrix @ v, b, 50, tolerance=1e-24)
    torch.testing.assert_close(matrix @ x, b)


def test_a_failed_line_search_restores_the_parameters_exactly() -> None:
    parameter, loss_fn = _quadratic([1.0, 2.0])
    start = parameter.detach().clone()
    never = torch.tensor(torch.inf, dtype=torch.float64)

    def kl_fn() -> Tensor:
        quadratic = (parameter - start).square().sum()
        return quadratic if torch.is_grad_enabled() else never

    metrics = TrustRegionStep([parameter])(loss_fn(), loss_fn, kl_fn)
    assert metrics["is_line_search_success"].item() == 0
    assert torch.equal(parameter.detach(), start)


def test_a_trust_region_step_keeps_within_its_radius() -> None:
    model = TRPO("MlpPolicy", "CartPole-v1", target_kl=0.005, **SMALL)
    model.learn(128)
    batch = next(model.rollout_buffer.get())
    assert 0 < model.kl(batch) <= 0.005
    assert model.logger.name_to_value["train/is_line_search_success"] == 1


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_the_actors_step_is_that_of_sb3_contrib(env_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same weights, rollout and batch order, contrib's random start of conjugate gradient set to zero."""
    monkeypatch.setattr(contrib_utils.th, "randn_like", torch.zeros_like)
    theirs = ContribTRPO(
        MlpPolicy, make_vec_env(env_id, n_envs=2, seed=3), n_critic_updates=1, gae_lambda=0.95, **SMALL
    )
    _, callback = theirs._setup_learn(1000, None)
    theirs.collect_rollouts(theirs.env, callback, theirs.rollout_buffer, theirs.n_steps)
    ours = TRPO("MlpPolicy", make_vec_env(env_id, n_envs=2, seed=3), n_critic_updates=1, **SMALL)
    ours._setup_learn(1000, None)
    ours.policy.load_state_dict(theirs.policy.state_dict())
    buffer = ours.rollout_buffer
    buffer.observations[:] = theirs.rollout_buffer.observations
    buffer.actions[:] = theirs.rollout_buffer.actions.reshape(buffer.actions.shape)
    for name in ("values", "advantages", "returns"):
        getattr(buffer, name)[:] = getattr(theirs.rollout_buffer, name)
    buffer.policy_advantages = buffer.advantages
    with torch.no_grad():
        flat = torch.as_tensor(theirs.rollout_buffer.observations.reshape(-1, *buffer.observations.shape[2:]))
        buffer.behaviour[:] = ours.policy.evaluate(flat)[0].numpy().reshape(buffer.behaviour.shape)
    before = {name: value.clone() for name, value in ours.policy.state_dict().items()}
    for model in (theirs, ours):
        np.random.seed(0)
        model.train()
    assert ours.logger.name_to_value["train/is_line_search_success"] == 1
    expected = theirs.policy.state_dict()
    for name, value in ours.policy.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5)
        assert not torch.equal(value, before[name]), name


def test_actor_and_critic_parameters_are_disjoint_and_complete() -> None:
    for share in (True, False):
        kwargs = {"share_features_extractor": share}
        policy = LCO("MlpPolicy", "CartPole-v1", advantage="dense", policy_kwargs=kwargs, **SMALL).policy
        actor, critic = policy.actor_and_critic_parameters()
        assert {id(p) for p in actor} | {id(p) for p in critic} == {id(p) for p in policy.parameters()}
        assert not {id(p) for p in actor} & {id(p) for p in critic}
        names = {name for name, p in policy.named_parameters() if any(p is c for c in critic)}
        assert names == {name for name in dict(policy.named_parameters()) if "value" in name or "q_net" in name}


@pytest.mark.parametrize("cls", [SPMA, MDPO, LCO])
def test_separate_steps_move_their_own_parameters_only(cls: Any) -> None:
    model = cls("MlpPolicy", "CartPole-v1", **SMALL)
    model.learn(128)
    batch = next(model.rollout_buffer.get())
    update = make_update(model)
    actor, critic = model.policy.actor_and_critic_parameters()
    for step, loss, still in (
        (update.actor_step, model.evaluate(batch).policy_loss, critic),
        (update.critic_step, model.critic_loss(batch), actor),
    ):
        before = [p.detach().clone() for p in still]
        step(loss, partial(model.critic_loss, batch), partial(model.kl, batch))
        assert all(torch.equal(p, old) for p, old in zip(still, before, strict=True))


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="step='adamw'"):
        PPO("MlpPolicy", "CartPole-v1", step="adamw")
    with pytest.raises(ValueError, match="cg_damping=-1"):
        TRPO("MlpPolicy", "CartPole-v1", cg_damping=-1)
    with pytest.raises(ValueError, match="target_kl=0"):
        TRPO("MlpPolicy", "CartPole-v1", target_kl=0)
    with pytest.raises(ValueError, match="step_kwargs"):
        PPO("MlpPolicy", "CartPole-v1", step="armijo", step_kwargs={"shrnk": 0.5})
    with pytest.raises(ValueError, match=r"step='armijo': .* unbounded below"):
        REINFORCE("MlpPolicy", "Pendulum-v1", step="armijo")


def test_gradient_step_leaves_parameters_on_a_bad_gradient() -> None:
    parameter = nn.Parameter(torch.ones(2))
    step = GradientStep(torch.optim.Adam([parameter]), [parameter])
    loss = (parameter * torch.tensor([1.0, torch.nan])).sum()
    with pytest.raises(FloatingPointError, match="gradient's norm is nan"):
        step(loss, lambda: loss, lambda: loss)
    assert torch.equal(parameter.detach(), torch.ones(2))


def test_a_loaded_trpo_heeds_the_arguments_it_is_given(tmp_path: Path) -> None:
    TRPO("MlpPolicy", "CartPole-v1", **SMALL).save(tmp_path / "model")
    loaded = TRPO.load(tmp_path / "model", cg_damping=0.5)
    assert make_update(loaded).actor_step.cg_damping == 0.5
    explicit = TRPO("MlpPolicy", "CartPole-v1", step_kwargs={"cg_damping": 0.3}, **SMALL)
    assert make_update(explicit).actor_step.cg_damping == 0.3


@pytest.mark.parametrize(("algorithm", "arguments"), [(PPO, {}), (SPMA, {"step": "armijo"}), (TRPO, {})])
def test_frozen_layers_stay(algorithm: Any, arguments: dict[str, Any]) -> None:
    model = algorithm("MlpPolicy", "CartPole-v1", **SMALL, **arguments)
    weights = [
        layer[0].weight for layer in (model.policy.mlp_extractor.policy_net, model.policy.mlp_extractor.value_net)
    ]
    for weight in weights:
        weight.requires_grad_(False)
    frozen, moving = [weight.clone() for weight in weights], model.policy.action_net.weight.clone()
    model.learn(256)
    assert all(torch.equal(weight, before) for weight, before in zip(weights, frozen, strict=True))
    assert not torch.equal(model.policy.action_net.weight, moving)
