"""PPO with SB3's own head is SB3's PPO: same weights, rollout and minibatch order give the same parameters."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from agents import PPO

COMMON: dict[str, Any] = {"n_steps": 128, "batch_size": 64, "n_epochs": 4, "seed": 3, "device": "cpu"}


class _Nothing(BaseCallback):
    def _on_step(self) -> bool:
        return True


def _sb3_rollout(env_id: str, **kwargs: Any) -> sb3.PPO:
    model = sb3.PPO("MlpPolicy", make_vec_env(env_id, n_envs=2, seed=3), **COMMON, **kwargs)
    _, callback = model._setup_learn(1000, None)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    return model


def _advantages(model: sb3.PPO) -> np.ndarray:
    """[T, N]; SB3's buffer is flattened environment by environment once it has been read."""
    return model.rollout_buffer.advantages.reshape(model.n_envs, model.n_steps).T


def _ours_with(reference: sb3.PPO, env_id: str, **kwargs: Any) -> PPO:
    """Our PPO holding the reference's weights and rollout."""
    model = PPO("MlpPolicy", make_vec_env(env_id, n_envs=2, seed=3), **COMMON, **kwargs)
    model._setup_learn(1000, None)
    model.policy.load_state_dict(reference.policy.state_dict())
    theirs, ours = reference.rollout_buffer, model.rollout_buffer
    ours.observations[:] = theirs.observations
    ours.actions[:] = theirs.actions.reshape(ours.actions.shape)
    for name in ("values", "advantages", "returns"):
        getattr(ours, name)[:] = getattr(theirs, name)
    with torch.no_grad():
        flat = torch.as_tensor(theirs.observations.reshape(-1, *theirs.observations.shape[2:]))
        ours.behaviour[:] = model.policy.evaluate(flat)[0].numpy().reshape(ours.behaviour.shape)
    ours.pos = ours.buffer_size
    return model


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"clip_range_vf": 0.2}, {"target_kl": 1e-4}, {"ent_coef": 0.01, "normalize_advantage": False}],
    ids=["plain", "value clipping", "target_kl", "entropy bonus"],
)
def test_one_update_equals_sb3(env_id: str, kwargs: dict[str, Any]) -> None:
    reference = _sb3_rollout(env_id, **kwargs)
    model = _ours_with(reference, env_id, **kwargs)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    for algorithm in (reference, model):
        np.random.seed(0)
        algorithm.train()
    expected = reference.policy.state_dict()
    assert list(expected) == list(model.policy.state_dict())
    for name, value in model.policy.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)
    assert any(not torch.equal(before[name], value) for name, value in expected.items())
    assert model._n_updates == reference._n_updates


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_same_seed_gives_the_same_rollout_and_training(env_id: str) -> None:
    """Initialisation, sampling and collection follow SB3 so closely that whole short runs coincide."""
    runs = []
    for cls in (sb3.PPO, PPO):
        model = cls("MlpPolicy", make_vec_env(env_id, n_envs=2, seed=3), **COMMON)
        model.learn(512)
        runs.append(model)
    for ours, theirs in zip(runs[1].policy.parameters(), runs[0].policy.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(runs[1].rollout_buffer.advantages, _advantages(runs[0]), rtol=1e-4, atol=1e-4)


def test_advantages_equal_sb3_where_episodes_are_cut_by_the_time_limit() -> None:
    """Truncation bootstraps with the value of the true last observation, as SB3 does."""
    models = []
    for cls in (sb3.PPO, PPO):
        env = make_vec_env("Pendulum-v1", n_envs=2, seed=3, wrapper_class=lambda e: gym.wrappers.TimeLimit(e, 20))
        model = cls("MlpPolicy", env, **COMMON)
        model.learn(256)
        models.append(model)
    np.testing.assert_allclose(models[1].rollout_buffer.advantages, _advantages(models[0]), rtol=1e-4, atol=1e-4)
    assert models[1].rollout_buffer.truncated.sum() == 12
    assert not models[1].rollout_buffer.terminated.any()
