"""SB3's own tools work on our classes unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from sb3_contrib import TRPO
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from agents import PPO, SPMA
from agents.policies import MlpPolicy

SMALL: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu"}
TSALLIS = {"head": "tsallis:0.5"}


class DictEnv(gym.Env):
    """A vector and an image; the action that matches the vector's sign is rewarded."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict(
            {"vector": spaces.Box(-1, 1, (3,)), "image": spaces.Box(0, 255, (1, 36, 36), np.uint8)}
        )
        self.action_space = spaces.Discrete(2)

    def _observation(self) -> dict[str, np.ndarray]:
        return {key: space.sample() for key, space in self.observation_space.items()}  # type: ignore[attr-defined]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps, self.last = 0, self._observation()
        return self.last, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == (self.last["vector"][0] > 0))
        self.steps, self.last = self.steps + 1, self._observation()
        return self.last, reward, False, self.steps >= 10, {}


class Doubled(BaseFeaturesExtractor):
    """Each feature twice."""

    def __init__(self, observation_space: spaces.Space) -> None:
        super().__init__(observation_space, 8)

    def forward(self, observations: Tensor) -> Tensor:
        return torch.cat([observations, observations], dim=1)


@pytest.mark.parametrize("cls", [PPO, SPMA])
def test_callbacks_and_evaluation(cls: Any, tmp_path: Path) -> None:
    model = cls("MlpPolicy", "CartPole-v1", policy_kwargs=TSALLIS, **SMALL)
    eval_env = make_vec_env("CartPole-v1", n_envs=1, seed=9)
    callbacks = [
        EvalCallback(
            eval_env,
            eval_freq=64,
            n_eval_episodes=2,
            best_model_save_path=str(tmp_path),
            log_path=str(tmp_path),
            verbose=0,
        ),
        CheckpointCallback(save_freq=64, save_path=str(tmp_path)),
    ]
    model.learn(128, callback=callbacks)
    assert {"best_model.zip", "evaluations.npz", "rl_model_64_steps.zip", "rl_model_128_steps.zip"} <= {
        path.name for path in tmp_path.iterdir()
    }
    best = cls.load(tmp_path / "best_model")
    mean, _ = evaluate_policy(best, Monitor(gym.make("CartPole-v1")), n_eval_episodes=2)
    assert 8 <= mean <= 500


def test_a_callback_can_stop_training() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    model.learn(100_000, callback=StopTrainingOnMaxEpisodes(max_episodes=3))
    assert model.num_timesteps < 1000


def test_vec_normalize_and_continued_learning() -> None:
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=0))
    model = SPMA("MlpPolicy", env, **SMALL)
    model.learn(128)
    count = env.obs_rms.count  # type: ignore[union-attr]
    model.learn(128, reset_num_timesteps=False)
    assert model.num_timesteps == 256
    assert env.obs_rms.count > count  # type: ignore[union-attr]
    assert model.get_vec_normalize_env() is env


def test_parameters_by_dictionary() -> None:
    one, two = (PPO("MlpPolicy", "CartPole-v1", **SMALL | {"seed": seed}) for seed in (0, 1))
    one.learn(64)
    two.set_parameters(one.get_parameters())
    for ours, theirs in zip(two.policy.parameters(), one.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_custom_features_extractor() -> None:
    kwargs = {"features_extractor_class": Doubled, "net_arch": [32], "activation_fn": nn.ReLU} | TSALLIS
    model = PPO("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs, **SMALL).learn(64)
    assert model.policy.mlp_extractor.policy_net[0].in_features == 8  # type: ignore[union-attr]


def test_dict_observations(tmp_path: Path) -> None:
    check_env(DictEnv())
    model = SPMA("MultiInputPolicy", DictEnv(), policy_kwargs=TSALLIS, **SMALL)
    model.learn(128)
    model.save(tmp_path / "model")
    loaded = SPMA.load(tmp_path / "model", env=DictEnv())
    obs, _ = DictEnv().reset(seed=0)
    assert loaded.predict(obs, deterministic=True)[0] == model.predict(obs, deterministic=True)[0]
    with pytest.raises(ValueError, match="MultiInputPolicy"):
        PPO("MlpPolicy", DictEnv(), **SMALL)


def test_our_policies_train_under_sb3_and_contrib() -> None:
    for cls, kwargs in ((sb3.PPO, {}), (TRPO, {"policy_kwargs": TSALLIS})):
        model = cls(MlpPolicy, "CartPole-v1", n_steps=64, batch_size=64, seed=0, device="cpu", **kwargs)
        before = model.policy.action_net.weight.clone()
        model.learn(128)
        assert not torch.equal(model.policy.action_net.weight, before)


def test_old_and_new_distributions_never_alias() -> None:
    policy = PPO("MlpPolicy", "CartPole-v1", **SMALL).policy
    first = policy.get_distribution(torch.zeros(1, 4))
    before = first.log_prob(torch.tensor([0]))
    second = policy.get_distribution(torch.ones(1, 4))
    assert first is not second
    assert torch.equal(first.log_prob(torch.tensor([0])), before)


def test_policy_saves_and_loads_by_itself(tmp_path: Path) -> None:
    policy = PPO("MlpPolicy", "CartPole-v1", policy_kwargs=TSALLIS, **SMALL).policy
    assert policy._get_constructor_parameters()["head"] == "tsallis:0.5"


def test_tensorboard_has_the_tags_the_layout_and_the_hyperparameters(tmp_path: Path) -> None:
    model = SPMA(
        "MlpPolicy",
        "CartPole-v1",
        tensorboard_log=str(tmp_path),
        policy_kwargs=TSALLIS,
        regularizer="tsallis:0.5",
        reg_coef=0.01,
        **SMALL,
    )
    model.learn(192)
    events = EventAccumulator(str(tmp_path / "SPMA_1"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    ours = {
        "eta",
        "divergence",
        "entropy",
        "min_prob",
        "support_size",
        "grad_norm",
        "logit_norm",
        "approx_kl",
        "negative_target",
    }
    sb3s = {"loss", "value_loss", "policy_gradient_loss", "entropy_loss", "learning_rate", "explained_variance"}
    assert {f"train/{name}" for name in ours | sb3s} | {"rollout/ep_rew_mean", "time/fps"} <= tags
    plugins = events.summary_metadata.values()
    names = {metadata.plugin_data.plugin_name for metadata in plugins}
    assert {"custom_scalars", "hparams"} <= names


def test_logged_values_are_means_over_all_minibatches(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL | {"batch_size": 16, "n_epochs": 3})
    model.set_logger(configure(None, []))
    losses: list[float] = []
    evaluate = model.evaluate

    def recorded(batch: Any, detailed: bool = False) -> Any:
        evaluation = evaluate(batch, detailed)
        losses.append((evaluation.policy_loss + 0.5 * evaluation.value_loss).item())
        return evaluation

    model.evaluate = recorded  # type: ignore[method-assign]
    model.learn(64)
    assert len(losses) == 12
    assert model.logger.name_to_value["train/loss"] == pytest.approx(np.mean(losses))
