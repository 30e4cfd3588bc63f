"""Every head trains under every algorithm on its action spaces, saves, loads and evaluates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy

from agents import PPO, SPMA
from envs import make_vec

SMALL: dict[str, Any] = {"n_steps": 32, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu"}
CATEGORICAL = ("softmax", "tsallis:0.5", "tsallis:1.5", "reverse_kl", "js", "chi2", "hellinger")
CONTINUOUS = ("gaussian", "q_gaussian:0.5", "q_gaussian:0.1", "binned:7", "binned:7,ordinal/tsallis:0.5")
CELLS = [
    *[(env_id, head) for env_id in ("CartPole-v1",) for head in CATEGORICAL],
    *[(f"ProbeAction{kind}-v0", head) for kind in ("MultiDiscrete", "MultiBinary") for head in CATEGORICAL],
    *[("Pendulum-v1", head) for head in CONTINUOUS],
]


@pytest.mark.parametrize("cls", [PPO, SPMA])
@pytest.mark.parametrize(("env_id", "head"), CELLS)
def test_trains_saves_loads_evaluates(cls: Any, env_id: str, head: str, tmp_path: Path) -> None:
    model = cls("MlpPolicy", make_vec(env_id, n_envs=2, seed=0), policy_kwargs={"head": head}, **SMALL)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(128)
    after = model.policy.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert not torch.equal(after["action_net.weight"], before["action_net.weight"])
    model.save(tmp_path / "model")
    loaded = cls.load(tmp_path / "model", env=make_vec(env_id, n_envs=1, seed=1))
    assert loaded.policy.head == model.policy.head
    evaluate_policy(loaded, loaded.get_env(), n_eval_episodes=1, deterministic=False)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [PPO, SPMA])
@pytest.mark.parametrize("head", ["q_gaussian:0.5", "binned:7", "binned:7/tsallis:0.5"])
def test_half_cheetah(cls: Any, head: str) -> None:
    """20k steps on HalfCheetah-v5: finite throughout, and better than falling still."""
    env = make_vec("HalfCheetah-v5", n_envs=4, seed=0, normalize=True)
    model = cls("MlpPolicy", env, n_steps=512, batch_size=64, seed=0, device="cpu", policy_kwargs={"head": head})
    model.learn(20_480)
    assert all(value.isfinite().all() for value in model.policy.state_dict().values())
    assert model.ep_info_buffer[-1]["r"] > -700


@pytest.mark.slow
@pytest.mark.parametrize("cls", [PPO, SPMA])
@pytest.mark.parametrize("head", CATEGORICAL)
def test_cartpole_is_learnt(cls: Any, head: str) -> None:
    """80k steps with the settings of the YAML files: a mean training return of at least 300."""
    settings: dict[str, Any] = {"batch_size": 256, "gamma": 0.98, "gae_lambda": 0.8}
    extra: dict[str, Any] = {"n_steps": 128, "n_epochs": 10, "eta": 0.1}
    if cls is PPO:
        extra = {"n_steps": 32, "n_epochs": 20, "clip_range": "lin_0.2"}
    env = make_vec("CartPole-v1", n_envs=8, seed=0)
    kwargs = {"policy_kwargs": {"head": head}, "seed": 0, "device": "cpu", "learning_rate": "lin_1e-3"}
    model = cls("MlpPolicy", env, **settings, **extra, **kwargs).learn(80_000)
    returns = [episode["r"] for episode in model.ep_info_buffer]
    assert sum(returns) / len(returns) >= 300
