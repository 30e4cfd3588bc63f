"""Reference policies of a regulariser, and dense advantages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import LCO, PPO, SPMA
from agents.training.adaptive import AdaptiveEta
from agents.training.advantages import dense_advantages, normalized

SMALL: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "seed": 0, "device": "cpu"}
REG: dict[str, Any] = {"regularizer": "kl", "reg_coef": 0.1, "reg_where": "both"}


def _weights(policy: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in policy.parameters()])


def test_the_initial_policy_stays() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", reg_reference="initial", **REG, **SMALL)
    start = _weights(model.policy)
    model.learn(192)
    assert torch.equal(_weights(model._reference.policy), start)
    assert not torch.equal(_weights(model.policy), start)


def test_a_snapshot_is_renewed_every_k_updates() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", reg_reference="snapshot:2", **REG, **SMALL)
    start = _weights(model.policy)
    model.learn(64)
    assert torch.equal(_weights(model._reference.policy), start)
    model.learn(64, reset_num_timesteps=False)
    second = _weights(model.policy)
    assert torch.equal(_weights(model._reference.policy), second)
    model.learn(64, reset_num_timesteps=False)
    assert torch.equal(_weights(model._reference.policy), second)


def test_a_checkpoint_with_its_own_network_and_head(tmp_path: Path) -> None:
    kwargs = {"head": "tsallis:0.5", "net_arch": [8]}
    teacher = PPO("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs, **SMALL).learn(64)
    teacher.save(tmp_path / "teacher.zip")
    model = PPO("MlpPolicy", "CartPole-v1", reg_reference=str(tmp_path / "teacher.zip"), **REG, **SMALL).learn(64)
    obs = torch.randn(5, 4)
    expected = teacher.policy.get_distribution(obs).distribution.probs
    torch.testing.assert_close(model._reference(obs, None).probs, expected)
    with pytest.raises(ValueError, match="its observation space is"):
        PPO("MlpPolicy", "Acrobot-v1", reg_reference=str(tmp_path / "teacher.zip"), **REG, **SMALL)


def test_the_reference_is_saved_with_the_model(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", reg_reference="initial", **REG, **SMALL).learn(128)
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model")
    assert torch.equal(_weights(loaded._reference.policy), _weights(model._reference.policy))


def test_a_strong_penalty_keeps_the_policy_at_its_reference() -> None:
    distances = []
    for coef in (0.0, 100.0):
        kwargs = REG | {"reg_coef": coef, "reg_where": "loss"}
        model = PPO("MlpPolicy", "CartPole-v1", reg_reference="initial", **kwargs, **SMALL | {"n_epochs": 10}).learn(
            640
        )
        distances.append(model.logger.name_to_value["train/divergence"])
    assert distances[1] < 0.1 * distances[0]


@pytest.mark.parametrize("divergence", ["kl", "reverse_kl", "hellinger", "tsallis:0.5"])
def test_gaussian_policies_have_references_too(divergence: str) -> None:
    kwargs = REG | {"regularizer": divergence}
    model = PPO("MlpPolicy", "Pendulum-v1", reg_reference="initial", **kwargs, **SMALL).learn(128)
    assert model.logger.name_to_value["train/divergence"] > 0


@pytest.mark.parametrize("bad", ["unform", "snapshot", "snapshot:0", "snapshot:x", "/no/such/file.zip"])
def test_bad_references(bad: str) -> None:
    with pytest.raises(ValueError, match="reg_reference="):
        PPO("MlpPolicy", "CartPole-v1", reg_reference=bad, **REG, **SMALL)


def test_dense_advantages_have_mean_zero_under_the_policy() -> None:
    torch.manual_seed(0)
    values, probs = torch.randn(50, 4), torch.softmax(torch.randn(50, 4), -1)
    advantages = dense_advantages(values, probs)
    torch.testing.assert_close((probs * advantages).sum(-1), torch.zeros(50), atol=1e-6, rtol=0)
    unit = normalized(advantages, probs)
    assert (probs * unit.square()).sum(-1).mean().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close((probs * unit).sum(-1), torch.zeros(50), atol=1e-5, rtol=0)


def test_the_q_critic_learns_the_value_of_each_action() -> None:
    """On a one-step problem Q(s, a) is the reward of a."""
    from envs import make_vec

    settings = SMALL | {"n_epochs": 8, "batch_size": 256, "learning_rate": 1e-2}
    model = LCO("MlpPolicy", make_vec("ProbeAction-v0", n_envs=4, seed=0), advantage="dense", beta=20.0, **settings)
    model.learn(4096)
    with torch.no_grad():
        action_values = model.policy.evaluate(torch.zeros(1, 1))[2][0]
    torch.testing.assert_close(action_values, torch.tensor([0.0, 1.0]), atol=0.15, rtol=0)
    assert model.rollout_buffer.policy_advantages.shape == (64, 4, 2)


def test_dense_advantages_need_a_discrete_space() -> None:
    with pytest.raises(ValueError, match="advantage='dense' needs a Discrete action space"):
        LCO("MlpPolicy", "Pendulum-v1", advantage="dense")
    with pytest.raises(ValueError, match="advantage='dens'"):
        LCO("MlpPolicy", "CartPole-v1", advantage="dens")


def test_adaptive_eta_keeps_the_target_a_distribution_and_the_kl_near_its_target() -> None:
    adaptive = AdaptiveEta(eta_kl=0.5, target_kl=0.01)
    advantages = np.array([-4.0, 1.0, 3.0])
    eta = adaptive.before_update(advantages)
    assert (1 + eta * advantages >= 0).all()
    assert eta == pytest.approx(0.999 / 4)
    adaptive.after_update(0.1)
    assert adaptive.eta_kl == pytest.approx(0.5 / 1.5)
    adaptive.after_update(0.01)
    assert adaptive.eta_kl == pytest.approx(0.5 / 1.5)
    adaptive.after_update(0.001)
    assert adaptive.eta_kl == pytest.approx(0.5)
    settings = SMALL | {"learning_rate": 3e-3, "n_steps": 256, "n_epochs": 10}
    model = SPMA("MlpPolicy", "CartPole-v1", eta="auto", target_kl=0.01, **settings).learn(2048)
    assert 0 < model.rollout_kl() < 0.02
    assert model.logger.name_to_value["train/negative_target"] < 0.01


def test_the_adapted_step_size_is_saved(tmp_path: Path) -> None:
    model = SPMA("MlpPolicy", "CartPole-v1", eta="auto", **SMALL).learn(128)
    model.save(tmp_path / "model")
    assert model.adaptive_state()["eta_kl"] != 0.3
    assert SPMA.load(tmp_path / "model").adaptive_state() == model.adaptive_state()
