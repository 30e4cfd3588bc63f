"""What callbacks see and change is the same in both engines, and SB3's."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    EveryNTimesteps,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

import envs
from agents.training import stepper
from agents.training.listeners import is_quiet
from envs.backends import arrays
from envs.backends.inprocess import InProcessVecEnv

from .small_runs import ENGINES, Calls, frozen, model_of, weights


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_is_recorded_after_the_callback_saw_it(engine: str) -> None:
    seen: list[np.ndarray] = []

    def step(callback: Any) -> None:
        callback.locals["rewards"][:] = 5.0
        if seen:
            np.testing.assert_array_equal(callback.model._last_obs, seen[-1])
        seen.append(callback.locals["new_obs"].copy())

    model = model_of(engine)
    model.learn(48, Calls(step=step))
    assert (model.rollout_buffer.rewards == 5).all()
    assert len(seen) == 24


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_run_goes_on_from_the_last_step_recorded(engine: str) -> None:
    seen: list[np.ndarray] = []

    def step(callback: Any) -> None:
        if len(seen) == 9:
            raise KeyboardInterrupt
        seen.append(callback.locals["new_obs"].copy())

    model = model_of(engine)
    with pytest.raises(KeyboardInterrupt):
        model.learn(48, Calls(step=step))
    model.learn(24, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.rollout_buffer.observations[0], seen[-1])  # type: ignore[index]


def test_locals_are_those_of_sb3() -> None:
    found: dict[str, list[Any]] = {engine: [] for engine in ENGINES}
    for engine in ENGINES:
        events: dict[str, Any] = {
            "step": lambda c, e=engine: found[e].append(dict(c.locals)),
            "rollout_end": lambda c, e=engine: found[e].append(dict(c.locals)),
        }
        model = model_of(engine, "Pendulum-v1", learning_rate=frozen, policy_kwargs={"log_std_init": 2.0})
        model.learn(96, Calls(**events))
        second = found[engine][25:]
        *steps, end = second
        for n, seen in enumerate(steps):
            assert (seen["self"], seen["env"], seen["n_steps"]) == (model, model.env, n)
            assert (seen["values"] is None) == (engine == "fused")
            assert not np.shares_memory(seen["actions"], model.rollout_buffer.actions)
            np.testing.assert_array_equal(seen["clipped_actions"], np.clip(seen["actions"], -2, 2))
            np.testing.assert_array_equal(seen["actions"], model.rollout_buffer.actions[n])
        assert max(np.abs(seen["actions"]).max() for seen in steps) > 2
        assert end["self"] is model and end["rollout_buffer"] is model.rollout_buffer
        assert end["n_steps"] == end["n_rollout_steps"] == 24
        with torch.no_grad():
            last = model.policy.predict_values(torch.from_numpy(end["new_obs"]))
        np.testing.assert_allclose(end["values"], last.flatten().numpy(), rtol=1e-5)
        names = {"callback", "n_rollout_steps", "new_obs", "rewards", "dones", "infos", "clipped_actions"}
        assert all(names <= set(seen) for seen in second)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_action_changed_by_a_callback_is_stored(engine: str) -> None:
    model = model_of(engine)
    model.learn(48, Calls(step=lambda callback: callback.locals["actions"].fill(1)))
    assert (model.rollout_buffer.actions == 1).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("anew", [False, True], ids=["in place", "anew"])
def test_advantages_may_be_changed_at_the_end_of_a_rollout(engine: str, anew: bool) -> None:
    def rollout_end(callback: Any) -> None:
        buffer = callback.locals["rollout_buffer"]
        if anew:
            buffer.advantages = np.zeros_like(buffer.advantages)
        else:
            buffer.advantages[:] = 0

    model = model_of(engine, vf_coef=0.0)
    before = weights(model)
    model.learn(48, Calls(rollout_end=rollout_end))
    assert torch.equal(weights(model), before)
    model.learn(48)
    assert not torch.equal(weights(model), before)


class Succeeds(gymnasium.Env[np.ndarray, Any]):
    """Episodes of five steps, which say that they were a success."""

    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        over = self.steps == 5
        return np.full(2, self.steps / 5, np.float32), 1.0, False, over, {"is_success": over, "steps": self.steps}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("backend", ["inprocess", "dummy", "foreign"])
@pytest.mark.parametrize("normalize", [False, True])
def test_infos_are_the_environments(
    engine: str, backend: str, normalize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gymnasium.envs.registration, "registry", gymnasium.registry.copy())
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    gymnasium.register("Succeeds-v0", Succeeds)
    infos: list[dict[str, Any]] = []
    if backend == "foreign":
        venv: Any = DummyVecEnv([lambda: Monitor(TimeLimit(Succeeds(), 9))] * 2)
        venv = envs.VecNormalize(venv) if normalize else venv
    else:
        venv = envs.make_vec("Succeeds-v0", 2, 0, backend, normalize)
    model = model_of(engine, venv)
    model.learn(48, Calls(step=lambda callback: infos.extend(callback.locals["infos"])))
    assert len(infos) == 48
    ends = [info for info in infos if info["steps"] == 5]
    assert len(ends) == len(model.ep_success_buffer) == len(model.ep_info_buffer) == 8  # type: ignore[arg-type]
    assert all(info["is_success"] and info["TimeLimit.truncated"] and info["episode"]["l"] == 5 for info in ends)
    assert all("terminal_observation" not in info for info in infos if info["steps"] < 5)
    pickle.dumps(venv) if normalize else None
    last = ends[0]["terminal_observation"]
    assert last.shape == (2,)
    assert normalize or last.tolist() == [1.0, 1.0]


class OwnStepWait(InProcessVecEnv):
    """A subclass that pays ten times as much, by SB3's interface."""

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = super().step_wait()
        return observations, 10 * rewards, dones, infos


class OwnStep(InProcessVecEnv):
    """The same."""

    def step(self, actions: np.ndarray) -> Any:
        observations, rewards, dones, infos = super().step(actions)
        return observations, 10 * rewards, dones, infos


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [OwnStepWait, OwnStep])
def test_a_way_to_step_of_the_users_is_taken(engine: str, kind: type[InProcessVecEnv]) -> None:
    model = model_of(engine, kind([lambda: gymnasium.make("CartPole-v1")] * 2))
    model.learn(48)
    assert (model.rollout_buffer.rewards == 10).all()


@pytest.mark.parametrize("kind", [InProcessVecEnv, OwnStepWait, OwnStep, DummyVecEnv, envs.VecNormalize, VecNormalize])
def test_what_steps_by_arrays(kind: type[VecEnv]) -> None:
    by_arrays = kind in (InProcessVecEnv, envs.VecNormalize)
    assert arrays.steps_by_arrays(kind) == stepper.steps_by_arrays(kind) == by_arrays


def test_callbacks_that_neither_look_nor_change_anything() -> None:
    checkpoints = CheckpointCallback(10, "somewhere")
    noisy, unheard = Calls(), ConvertCallback(None)  # type: ignore[arg-type]
    assert is_quiet(checkpoints) and is_quiet(unheard) and is_quiet(CallbackList([checkpoints, unheard]))
    assert not is_quiet(noisy) and not is_quiet(CallbackList([checkpoints, noisy]))
    assert not is_quiet(EveryNTimesteps(10, checkpoints))
    assert is_quiet(EvalCallback(envs.make_vec("CartPole-v1")))
    assert not is_quiet(EvalCallback(envs.make_vec("CartPole-v1"), callback_after_eval=noisy))
    assert not is_quiet(EvalCallback(envs.make_vec("CartPole-v1"), callback_on_new_best=noisy))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_quiet_callback_is_called_at_each_step_and_can_end_the_run(engine: str) -> None:
    class FiveSteps(BaseCallback):
        quiet = True

        def _on_step(self) -> bool:
            steps.append(self.num_timesteps)
            return len(steps) < 5

    steps: list[int] = []
    model = model_of(engine)
    model.learn(96, FiveSteps())
    assert steps == [2, 4, 6, 8, 10] and model.num_timesteps == 10
