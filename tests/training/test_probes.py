"""Learning on probe environments whose values are known, before any benchmark."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import PPO, SPMA
from agents.geometry.divergences import Tsallis
from agents.geometry.softargmax import f_softargmax
from envs import make_vec

GAMMA = 0.8
FAST: dict[str, Any] = {
    "n_steps": 64,
    "batch_size": 256,
    "n_epochs": 8,
    "learning_rate": "lin_1e-2",
    "gamma": GAMMA,
    "gae_lambda": 0.9,
    "seed": 0,
    "device": "cpu",
}


def _trained(cls: Any, env_id: str, steps: int = 6000, **kwargs: Any) -> Any:
    return cls("MlpPolicy", make_vec(env_id, n_envs=4, seed=0), **FAST | kwargs).learn(steps)


def _value(model: Any, observation: float) -> float:
    with torch.no_grad():
        return model.policy.predict_values(torch.tensor([[observation]])).item()


@pytest.mark.parametrize("cls", [PPO, SPMA])
@pytest.mark.parametrize(
    ("env_id", "observations"),
    [
        ("ProbeConstant-v0", [0.0]),
        ("ProbeObservation-v0", [-1.0, 1.0]),
        ("ProbeDiscount-v0", [0.0, 1.0]),
        ("ProbeTruncation-v0", [0.0]),
    ],
)
def test_values_are_the_known_ones(cls: Any, env_id: str, observations: list[float]) -> None:
    model = _trained(cls, env_id, gae_lambda=1.0)
    known = gym.make(env_id).unwrapped
    for observation in observations:
        assert _value(model, observation) == pytest.approx(known.optimal_value(observation, GAMMA), abs=0.1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", [PPO, SPMA])
@pytest.mark.parametrize("head", ["softmax", "tsallis:0.5"])
def test_the_better_action_is_found(cls: Any, head: str) -> None:
    model = _trained(cls, "ProbeAction-v0", policy_kwargs={"head": head})
    probs = model.policy.get_distribution(torch.zeros(1, 1)).distribution.probs
    assert probs[0, 1] > 0.9
    assert model.predict(np.zeros(1, np.float32), deterministic=True)[0] == 1


@pytest.mark.parametrize("cls", [PPO, SPMA])
def test_the_best_continuous_action_is_found(cls: Any) -> None:
    model = _trained(cls, "ProbeActionBox-v0", 12_000)
    assert model.predict(np.zeros(1, np.float32), deterministic=True)[0][0] == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [PPO, SPMA])
@pytest.mark.parametrize("head", ["softmax", "tsallis:0.5", "tsallis:1.5", "reverse_kl", "js", "chi2", "hellinger"])
@pytest.mark.parametrize(("env_id", "best"), [("MultiDiscrete", [1, 2]), ("MultiBinary", [1, 0, 1])])
def test_the_best_components_are_found(cls: Any, head: str, env_id: str, best: list[int]) -> None:
    model = _trained(cls, f"ProbeAction{env_id}-v0", policy_kwargs={"head": head})
    assert model.predict(np.zeros(1, np.float32), deterministic=True)[0].tolist() == best


@pytest.mark.slow
@pytest.mark.parametrize("cls", [PPO, SPMA])
@pytest.mark.parametrize("head", ["q_gaussian:0.5", "binned:9", "binned:9,ordinal/tsallis:0.5"])
def test_the_best_continuous_action_is_found_by_every_head(cls: Any, head: str) -> None:
    model = _trained(cls, "ProbeActionBox-v0", 16_000, policy_kwargs={"head": head})
    assert model.predict(np.zeros(1, np.float32), deterministic=True)[0][0] == pytest.approx(0.5, abs=0.1)


def test_a_compact_support_trains_with_ppo_and_is_refused_by_spma() -> None:
    kwargs = {"head": "q_gaussian:1.5"}
    model = _trained(PPO, "ProbeActionBox-v0", 2000, policy_kwargs=kwargs)
    assert model.predict(np.zeros(1, np.float32), deterministic=True)[0][0] > 0.1
    with pytest.raises(ValueError, match=r"supports are compact for alpha=1\.5"):
        SPMA("MlpPolicy", make_vec("ProbeActionBox-v0"), policy_kwargs=kwargs)


def test_the_coupled_regulariser_moves_the_optimum_where_theory_says() -> None:
    """The best policy of r - coef D_f(pi || uniform) is the f-softargmax of q / coef (`reg_where="both"`)."""
    coef = 0.5
    divergence = Tsallis(0.5)
    kwargs = {"normalize_advantage": False, "policy_kwargs": {"head": "tsallis:0.5"}, "reg_where": "both"}
    model = _trained(PPO, "ProbeAction-v0", 10_000, regularizer="tsallis:0.5", reg_coef=coef, **kwargs)
    best = f_softargmax(torch.tensor([[0.0, 1.0]]), divergence, temperature=coef)[0]
    found = model.policy.get_distribution(torch.zeros(1, 1)).distribution.probs[0]
    torch.testing.assert_close(found, best, atol=0.05, rtol=0)
    penalty = coef * divergence.divergence(best[None], torch.full((1, 2), 0.5)).item()
    assert _value(model, 0.0) == pytest.approx(best[1].item() - penalty, abs=0.1)


def test_the_reward_penalty_is_the_divergence_of_the_behaviour_policy() -> None:
    """With lambda = 0 the advantage is the TD error, from which exactly coef D_f(pi(.|s_t)) is missing."""
    deltas = []
    for kwargs in ({}, {"regularizer": "kl", "reg_coef": 0.3}):
        settings = FAST | {"n_epochs": 1, "gae_lambda": 0.0} | kwargs
        model = PPO("MlpPolicy", make_vec("CartPole-v1", n_envs=4, seed=0), **settings).learn(256)
        deltas.append(model.rollout_buffer.advantages)
    behaviour = torch.as_tensor(model.rollout_buffer.behaviour)
    probs = torch.softmax(behaviour, dim=-1)
    penalty = 0.3 * (probs * torch.log(2 * probs)).sum(-1)
    np.testing.assert_allclose(deltas[0] - deltas[1], penalty.numpy(), atol=1e-5)


def test_the_penalty_needs_a_uniform_reference() -> None:
    with pytest.raises(ValueError, match="uniform"):
        PPO("MlpPolicy", "Pendulum-v1", regularizer="kl", reg_coef=0.1)
    with pytest.raises(ValueError, match="tsalis"):
        PPO("MlpPolicy", "CartPole-v1", regularizer="tsalis:0.5", reg_coef=0.1)
