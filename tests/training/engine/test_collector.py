"""A rollout collected without torch holds what torch would have computed from the same transitions."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

import envs
from agents import PPO, SPMA
from agents.training.advantages import generalized_advantages
from agents.training.engine import PAYS_FROM, FusedEngine, make_engine
from agents.training.listeners import listens

SMALL: dict[str, Any] = {"n_steps": 24, "batch_size": 12, "n_epochs": 2, "seed": 0, "device": "cpu"}


def frozen(_: float) -> float:
    """A learning rate that leaves the weights as they were when the rollout was made."""
    return 0.0


def fused(env: VecEnv | str, algorithm: type[PPO] | type[SPMA] = PPO, **options: Any) -> Any:
    return algorithm("MlpPolicy", env, engine="fused", **SMALL | options)


class OneRollout(BaseCallback):
    """Stops before the second rollout, so that the first stays in the buffer with the weights that made it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.episodes: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        self.steps += 1
        self.episodes += [info["episode"] for info in self.locals["infos"] if "episode" in info]
        assert len(self.locals["dones"]) == len(self.locals["rewards"]) == self.training_env.num_envs
        return True


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "ProbeTruncation-v0", "ProbeActionMultiBinary-v0"])
@pytest.mark.parametrize("by_arrays", [True, False])
def test_values_parameters_and_advantages_are_torchs(env_id: str, by_arrays: bool) -> None:
    n = 2
    limit = {"max_episode_steps": 10} if env_id == "Pendulum-v1" else {}
    env = (
        envs.make_vec(env_id, n, seed=0, **limit)
        if by_arrays
        else DummyVecEnv([lambda: gymnasium.make(env_id, **limit)] * n)
    )
    model = fused(env, n_epochs=1, learning_rate=frozen)
    callback = OneRollout()
    model.learn(24 * n, callback=callback)
    assert callback.steps == 24
    buffer, policy = model.rollout_buffer, model.policy
    with torch.no_grad():
        observations = torch.from_numpy(buffer.observations.reshape(24 * n, -1))
        parameters, values, _ = policy.evaluate(observations)
        last = policy.predict_values(torch.from_numpy(model._last_obs)).flatten().numpy()
    np.testing.assert_allclose(buffer.behaviour.reshape(24 * n, -1), parameters.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(buffer.values.ravel(), values.numpy(), rtol=1e-5, atol=1e-6)
    if env_id in ("Pendulum-v1", "ProbeTruncation-v0"):
        assert buffer.truncated.any()
    following = np.concatenate([buffer.values[1:], last[None]])
    going_on = ~buffer.truncated
    np.testing.assert_allclose(buffer.next_values[going_on], following[going_on], rtol=1e-5, atol=1e-6)
    ended = buffer.terminated | buffer.truncated
    expected = generalized_advantages(
        buffer.rewards, buffer.values, buffer.next_values, buffer.terminated, ended, model.gamma, model.gae_lambda
    )
    np.testing.assert_allclose(buffer.advantages, expected, rtol=1e-6)


def test_a_truncated_episode_is_bootstrapped_from_its_true_last_observation() -> None:
    env = envs.make_vec("Pendulum-v1", 2, seed=0, max_episode_steps=10)
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    step_arrays = type(env).step_arrays

    def noting(self: Any, actions: np.ndarray) -> Any:
        step = step_arrays(self, actions)
        seen.append((step.truncated.copy(), np.array(step.final_observations)))
        return step

    type(env).step_arrays = noting  # type: ignore[method-assign]
    try:
        model = fused(env, learning_rate=frozen)
        model.learn(48)
    finally:
        type(env).step_arrays = step_arrays  # type: ignore[method-assign]
    buffer = model.rollout_buffer
    assert buffer.truncated.sum() == 4
    for t, (truncated, final) in enumerate(seen):
        for row in np.flatnonzero(truncated):
            value = model.policy.predict_values(torch.from_numpy(final[row : row + 1])).item()
            assert buffer.next_values[t, row] == pytest.approx(value, rel=1e-5)


def test_actions_are_executed_within_the_bounds_and_stored_as_drawn() -> None:
    env = envs.make_vec("Pendulum-v1", 1, seed=0)
    model = fused(env, policy_kwargs={"log_std_init": 2.0})
    model.learn(24)
    assert np.abs(model.rollout_buffer.actions).max() > 2.0  # Pendulum's torque ends at 2


def test_episodes_are_counted_and_callbacks_may_stop() -> None:
    class StopsAtFive(OneRollout):
        def _on_step(self) -> bool:
            return super()._on_step() and self.steps < 5

    model = fused(envs.make_vec("ProbeTruncation-v0", 2, seed=0))
    callback = OneRollout()
    model.learn(48, callback=callback)
    assert len(callback.episodes) == len(model.ep_info_buffer) == 8  # 24 steps of 2, episodes of 5
    assert {episode["l"] for episode in model.ep_info_buffer} == {5}
    stopped = StopsAtFive()
    model.learn(48, callback=stopped)
    assert model.num_timesteps == 10


def test_only_callbacks_that_were_given_listen() -> None:
    model = fused("CartPole-v1")
    assert not listens(model._init_callback(None))
    assert not listens(model._init_callback([]))
    assert listens(model._init_callback(OneRollout()))
    assert listens(model._init_callback(lambda *_: True))
    assert listens(CallbackList([CallbackList([]), OneRollout()]))


@pytest.mark.parametrize("algorithm", [PPO, SPMA])
def test_the_same_seed_gives_the_same_run(algorithm: type[PPO] | type[SPMA]) -> None:
    runs = []
    for _ in range(2):
        model = fused(envs.make_vec("CartPole-v1", 4, seed=3), algorithm)
        model.learn(400)
        runs.append(torch.cat([p.detach().flatten() for p in model.policy.parameters()]))
    assert torch.equal(*runs)


def test_a_network_that_has_diverged_is_noticed_before_it_acts() -> None:
    model = fused(envs.make_vec("CartPole-v1", 2, seed=0))
    with torch.no_grad():
        model.policy.action_net.bias[0] = float("nan")
    with pytest.raises(FloatingPointError, match="output is not finite"):
        model.learn(48)


class OwnEvaluate(PPO):
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        return super().evaluate(*args, **kwargs)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: PPO("MlpPolicy", "CartPole-v1", **SMALL, engine="torch"), "engine='torch'"),
        (lambda: PPO("MlpPolicy", "CartPole-v1", **SMALL, step="armijo"), "step='armijo'"),
        (lambda: PPO("MlpPolicy", "CartPole-v1", **SMALL, advantage="dense"), "advantage='dense'"),
        (lambda: OwnEvaluate("MlpPolicy", "CartPole-v1", **SMALL), "OwnEvaluate has its own evaluate"),
        (
            lambda: PPO("MlpPolicy", "CartPole-v1", **SMALL, policy_kwargs={"activation_fn": "ELU"}),
            "activation: ELU",
        ),
        (
            lambda: PPO("MlpPolicy", "CartPole-v1", **SMALL, policy_kwargs={"optimizer_class": "SGD"}),
            "optimizer: SGD",
        ),
    ],
)
def test_what_stays_on_torch_says_why(make: Any, reason: str) -> None:
    model = make()
    chosen = make_engine(model, 10**6)
    assert isinstance(chosen, str)
    assert reason in chosen
    if model.engine == "auto":
        model.engine = "fused"
        with pytest.raises(ValueError, match=f"engine='fused': {reason}"):
            make_engine(model, 10**6)


def test_auto_waits_until_a_run_is_long_enough() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    assert isinstance(make_engine(model, 10**6), FusedEngine)
    assert "too few" in str(make_engine(model, 1000))


def test_a_continued_run_keeps_the_engine_of_the_unbroken_one() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    model.learn(24)
    assert model._fused is None
    model.num_timesteps = PAYS_FROM - 12
    model.learn(12, reset_num_timesteps=False)
    assert model._fused is not None


def test_a_later_learn_goes_on_with_the_same_engine_unless_something_was_replaced() -> None:
    model = fused("CartPole-v1")
    model.learn(24)
    first = model._fused
    model.learn(24, reset_num_timesteps=False)
    assert model._fused is first
    model.policy.action_net.weight = torch.nn.Parameter(model.policy.action_net.weight.detach().clone())
    with pytest.raises(ValueError, match="optimizer: does not hold the policy's parameters"):
        model.learn(24)
    model.policy.optimizer = torch.optim.Adam(model.policy.parameters(), eps=1e-5)
    model.learn(24)
    assert model._fused is not first


def test_what_runs_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    model = fused(envs.make_vec("CartPole-v1", 2, seed=0), verbose=1)
    for _ in range(2):
        model.learn(48, reset_num_timesteps=False, log_interval=None)
    assert capsys.readouterr().out.count("Engine: fused (") == 1
