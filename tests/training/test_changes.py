"""What a user changes after construction counts, as in SB3: arguments, weights, optimiser, layers; and copies learn."""

from __future__ import annotations

import copy
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO as Sb3PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from agents import LCO, MDPO, PPO, REINFORCE, SPMA, TRPO
from agents.policies import CnnPolicy
from agents.training.steps import ArmijoStep
from envs import make_vec

ENGINES = ("torch", "fused")
SETTINGS: dict[str, Any] = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "seed": 0}


def make(cls: Any = PPO, engine: str = "torch", env: Any = "CartPole-v1", **kwargs: Any) -> Any:
    venv = make_vec(env, 2, seed=0) if isinstance(env, str) else env
    return cls("MlpPolicy", venv, engine=engine, **SETTINGS | kwargs)


def weights(model: Any) -> torch.Tensor:
    return parameters_to_vector(model.policy.parameters()).detach().clone()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: cloudpickle.loads(cloudpickle.dumps(model))])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_copy_learns_as_the_original_would(copied: Any, engine: str) -> None:
    model = make(engine=engine)
    model.learn(64)
    twin = copied(model)
    torch.manual_seed(0)
    np.random.seed(0)
    twin.learn(128, reset_num_timesteps=False)
    assert not torch.equal(weights(twin), weights(model))
    torch.manual_seed(0)
    np.random.seed(0)
    model.learn(128, reset_num_timesteps=False)
    assert torch.equal(weights(twin), weights(model))


CHANGES: dict[str, Any] = {
    "ent_coef": 0.3,
    "vf_coef": 2.0,
    "n_epochs": 3,
    "batch_size": 32,
    "max_grad_norm": 0.01,
    "clip_range": 0.01,
    "clip_range_vf": 0.01,
    "target_kl": 1e-5,
    "normalize_advantage": False,
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_argument_that_is_changed_counts_as_if_it_had_been_given(engine: str, name: str) -> None:
    class Change(BaseCallback):
        def _on_training_start(self) -> None:
            setattr(self.model, name, CHANGES[name])

        def _on_step(self) -> bool:
            return True

    def trained(callback: BaseCallback | None = None, **kwargs: Any) -> torch.Tensor:
        return weights(make(engine=engine, **kwargs).learn(256, callback=callback))

    before = {"clip_range_vf": 0.5} if name == "clip_range_vf" else {}
    given, changed, untouched = trained(**{name: CHANGES[name]}), trained(Change(), **before), trained(**before)
    assert torch.equal(changed, given)
    assert not torch.equal(changed, untouched)


@pytest.mark.parametrize(("before", "after"), [(None, 0.2), (0.2, None)])
def test_a_loss_can_not_gain_or_lose_a_part(before: float | None, after: float | None) -> None:
    model = make(clip_range_vf=before)
    model.clip_range_vf = after
    with pytest.raises(ValueError, match=f"clip_range_vf={after}: the loss was made for {before}"):
        model.learn(64)


@pytest.mark.parametrize("engine", ("torch", "auto"))
def test_a_new_optimizer_is_the_one_that_steps(engine: str) -> None:
    model = make(engine=engine)
    model.learn(64)
    old = model.policy.optimizer
    steps = [state["step"].item() for state in old.state.values()]
    model.policy.optimizer = torch.optim.SGD(model.policy.parameters(), lr=1.0, momentum=0.5)
    model.learn(64)
    assert model.policy.optimizer.state
    assert [state["step"].item() for state in old.state.values()] == steps


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rollout_is_collected_with_weights_that_were_assigned(engine: str) -> None:
    model = make(engine=engine, learning_rate=lambda _: 0.0)
    model.learn(64)
    vector_to_parameters(weights(model) + 0.1, model.policy.parameters())
    model.learn(64)
    observations = torch.from_numpy(model.rollout_buffer.observations.reshape(64, -1))
    parameters, values, _ = model.policy.evaluate(observations)
    torch.testing.assert_close(torch.from_numpy(model.rollout_buffer.behaviour.reshape(64, -1)), parameters)
    torch.testing.assert_close(torch.from_numpy(model.rollout_buffer.values.reshape(64)), values)


class Freeze(BaseCallback):
    """Freezes the actor's hidden layers in the first rollout; ends training early."""

    def _on_rollout_end(self) -> None:
        layers = self.model.policy.mlp_extractor.policy_net.requires_grad_(False)
        self.before = getattr(self, "before", layers[0].weight.detach().clone())

    def _on_step(self) -> bool:
        return self.num_timesteps < 192


def test_layers_frozen_on_the_way_stay_where_they_are() -> None:
    model, callback = make(engine="auto"), Freeze()
    model.learn(40_000, callback=callback)
    assert model.engine_description.startswith("torch (parameters: ")
    assert torch.equal(model.policy.mlp_extractor.policy_net[0].weight, callback.before)
    with pytest.raises(ValueError, match=r"engine='fused': parameters: .* is frozen"):
        make(engine="fused").learn(192, callback=Freeze())


@pytest.mark.parametrize("part", ["actor", "critic"])
@pytest.mark.parametrize("cls", [PPO, SPMA, MDPO, LCO, REINFORCE, TRPO])
def test_what_is_not_frozen_is_trained(cls: Any, part: str) -> None:
    model = make(cls, engine="auto")
    frozen, free = model.policy.actor_and_critic_parameters()[:: 1 if part == "actor" else -1]
    for p in frozen:
        p.requires_grad_(False)
    before = [[p.detach().clone() for p in group] for group in (frozen, free)]
    model.learn(128)
    assert all(torch.equal(p, q) for p, q in zip(frozen, before[0], strict=True))
    assert any(not torch.equal(p, q) for p, q in zip(free, before[1], strict=True))


def test_the_coefficient_in_the_reward_is_that_of_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, penalty = [], PPO._reward_penalty

    def noting(self: Any, buffer: Any) -> Any:
        seen.append(self.scalar("reg_coef").item())
        return penalty(self, buffer)

    monkeypatch.setattr(PPO, "_reward_penalty", noting)
    model = make(regularizer="kl", reg_coef="lin_0.1", reg_where="both")
    for _ in range(2):
        model.learn(256)
    np.testing.assert_allclose(seen, 2 * [0.1, 0.075, 0.05, 0.025])


class Asserting(gymnasium.Env):
    """Takes actions of its space only."""

    def __init__(self, action_space: spaces.Box, dtype: type) -> None:
        self.action_space, self.observation_space = action_space, spaces.Box(-1, 1, (3,), dtype)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        return np.zeros(3, self.observation_space.dtype), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.low.min() <= action.min(), action
        assert action.max() <= self.action_space.high.max(), action
        return self.reset()[0], 0.0, False, False, {}


@pytest.mark.parametrize(
    ("space", "head"),
    [(spaces.Box(-0.1, 0.1, (2,), np.float64), None), (spaces.Box(-2.7, 5.9, (2,)), "binned:7")],
    ids=["float64", "binned"],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_actions_are_within_their_bounds(engine: str, space: spaces.Box, head: str | None) -> None:
    env = DummyVecEnv([lambda: Asserting(space, np.float32)])
    make(engine=engine, env=env, policy_kwargs={"head": head}).learn(256)


@pytest.mark.parametrize("engine", ENGINES)
def test_half_precision_observations(engine: str) -> None:
    make(engine=engine, env=DummyVecEnv([lambda: Asserting(spaces.Box(-1, 1, (1,)), np.float16)])).learn(64)


def test_the_epsilon_of_adam_is_that_of_sb3() -> None:
    images = spaces.Box(0, 255, (4, 36, 36), np.uint8)
    for kwargs in ({}, {"optimizer_kwargs": {"betas": (0.8, 0.9)}}):
        theirs = Sb3PPO.policy_aliases["CnnPolicy"](images, spaces.Discrete(2), lambda _: 1e-3, **copy.deepcopy(kwargs))
        ours = CnnPolicy(images, spaces.Discrete(2), lambda _: 1e-3, **kwargs)
        assert ours.optimizer.defaults["eps"] == theirs.optimizer.defaults["eps"]


def test_a_try_that_no_distribution_has_is_refused() -> None:
    x = torch.nn.Parameter(torch.tensor([1.0]))

    def loss() -> torch.Tensor:
        if x.abs() > 2:
            raise ValueError("mean: contains NaN")
        return x.square().sum()

    metrics = ArmijoStep([x], max_step_size=1e3)(loss(), loss, loss)
    assert metrics["step_size"] > 0
    assert x.abs() < 1


def test_numbers_of_numpy_are_numbers() -> None:
    model = make(n_steps=np.int64(32), batch_size=np.int32(16), gamma=np.float32(0.5), ent_coef=np.float64(0.1))
    model.learn(np.int64(64))
    assert model.num_timesteps == 64
    with pytest.raises(ValueError, match="n_steps"):
        make(n_steps=np.bool_(True))


def test_the_tenth_argument_is_not_taken_for_another() -> None:
    with pytest.raises(TypeError):
        PPO("MlpPolicy", "CartPole-v1", 3e-4, 64, 32, 1, 0.99, 0.95, 0.2, 0.3)  # type: ignore[call-arg]


def test_a_policy_of_sb3_is_refused() -> None:
    with pytest.raises(ValueError, match="must be an ActorCriticPolicy"):
        PPO(Sb3PPO.policy_aliases["MlpPolicy"], "CartPole-v1")


@pytest.mark.parametrize("settings", [3, {"c": "a"}, {"shrink": 2}, {"max_tries": 0}, {"step": 1}])
def test_settings_of_a_step_are_checked(settings: Any) -> None:
    with pytest.raises(ValueError, match="step_kwargs"):
        make(SPMA, step="armijo", step_kwargs=settings)


def test_adam_takes_no_settings() -> None:
    with pytest.raises(ValueError, match="step='adam' takes none"):
        make(step_kwargs={"c": 0.5})
