"""Action masks by sb3-contrib's convention: no invalid action in training or prediction, under every discrete head."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.evaluation import evaluate_policy
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor

from agents import PPO, SPMA

SMALL: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "seed": 0, "device": "cpu"}


class MaskedEnv(gym.Env):
    """Random masks; an invalid action raises, and the first valid entry of each component is rewarded."""

    def __init__(self, action_space: spaces.Space, density: float = 0.3) -> None:
        self.action_space, self.density = action_space, density
        self.sizes = {
            spaces.Discrete: lambda s: [int(s.n)],
            spaces.MultiDiscrete: lambda s: [int(n) for n in s.nvec],
            spaces.MultiBinary: lambda s: [2] * s.n,
        }[type(action_space)](action_space)
        self.observation_space = spaces.Box(-1, 1, (3,))

    def action_masks(self) -> np.ndarray:
        return np.concatenate(self.masks)

    def _draw(self) -> np.ndarray:
        self.masks = []
        for size in self.sizes:
            mask = self.np_random.random(size) < self.density
            mask[self.np_random.integers(size)] = True
            self.masks.append(mask)
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._draw(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        parts = np.atleast_1d(action)
        for mask, part in zip(self.masks, parts, strict=True):
            if not mask[part]:
                raise AssertionError(f"invalid action {action}")
        reward = float(np.mean([part == mask.argmax() for mask, part in zip(self.masks, parts, strict=True)]))
        self.steps += 1
        return self._draw(), reward, False, self.steps >= 20, {}


@pytest.mark.parametrize("cls", [PPO, SPMA])
@pytest.mark.parametrize("head", ["softmax", "tsallis:0.5", "tsallis:1.5"])
@pytest.mark.parametrize("space", [spaces.Discrete(7), spaces.MultiDiscrete([2, 5]), spaces.MultiBinary(3)], ids=str)
def test_no_invalid_action_is_taken(cls: Any, head: str, space: spaces.Space) -> None:
    env = make_vec_env(lambda: MaskedEnv(space), n_envs=2, seed=0)
    model = cls("MlpPolicy", env, policy_kwargs={"head": head}, **SMALL)
    model.learn(128)
    assert all(torch.isfinite(p).all() for p in model.policy.parameters())
    assert model.rollout_buffer.masks.mean() < 1
    evaluate_policy(model, Monitor(MaskedEnv(space)), n_eval_episodes=2)
    evaluate_policy(model, Monitor(MaskedEnv(space)), n_eval_episodes=2, deterministic=False)


def test_the_stored_mask_is_the_one_that_was_valid() -> None:
    env = make_vec_env(lambda: MaskedEnv(spaces.Discrete(7)), n_envs=2, seed=0)
    model = PPO("MlpPolicy", env, **SMALL).learn(128)
    masks, actions = model.rollout_buffer.masks, model.rollout_buffer.actions
    assert masks is not None
    assert np.take_along_axis(masks, actions[..., None], axis=-1).all()


def test_masks_need_discrete_actions() -> None:
    class Continuous(MaskedEnv):
        def __init__(self) -> None:
            super().__init__(spaces.Discrete(2))
            self.action_space = spaces.Box(-1, 1, (2,))

    with pytest.raises(ValueError, match="action_masks"):
        PPO("MlpPolicy", Continuous(), **SMALL)


def test_a_prediction_without_masks_is_unrestricted() -> None:
    model = PPO("MlpPolicy", make_vec_env(lambda: MaskedEnv(spaces.Discrete(7)), seed=0), **SMALL)
    obs = np.zeros(3, np.float32)
    only = np.eye(7, dtype=bool)[4]
    assert model.predict(obs, action_masks=only)[0] == 4
    assert 0 <= model.predict(obs)[0] < 7


def test_masks_come_and_go_with_the_environment() -> None:
    space = spaces.Discrete(7)
    masked = make_vec_env(lambda: MaskedEnv(space), n_envs=2, seed=0)  # raises for an invalid action
    unmasked = make_vec_env(lambda: Unmasked(MaskedEnv(space, density=2.0)), n_envs=2, seed=0)
    model = PPO("MlpPolicy", unmasked, **SMALL)
    for env, size in ((unmasked, None), (masked, 7), (unmasked, None)):
        model.set_env(env)
        model.learn(128)
        assert (model.rollout_buffer.masks is None) == (size is None)


def test_no_action_at_all_is_refused() -> None:
    env = MaskedEnv(spaces.Discrete(3))
    env.action_masks = lambda: np.zeros(3, bool)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="environment 0 allows no action"):
        PPO("MlpPolicy", make_vec_env(lambda: env, n_envs=1), **SMALL).learn(64)


class Unmasked(gym.Env):
    """Another environment, which says nothing of masks."""

    def __init__(self, env: MaskedEnv) -> None:
        self.env, self.action_space, self.observation_space = env, env.action_space, env.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(seed=seed)

    def step(self, action: Any) -> Any:
        return self.env.step(action)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["softmax", "tsallis:0.5"])
def test_1400_actions(head: str) -> None:
    """200k steps of a masked head with 1,400 actions: no NaN, no simplex error, no invalid action."""
    env = make_vec_env(lambda: MaskedEnv(spaces.Discrete(1400), density=0.02), n_envs=8, seed=0)
    kwargs = SMALL | {"n_steps": 128, "batch_size": 256}
    model = PPO("MlpPolicy", env, policy_kwargs={"head": head}, **kwargs).learn(200_000)
    assert all(torch.isfinite(p).all() for p in model.policy.parameters())
