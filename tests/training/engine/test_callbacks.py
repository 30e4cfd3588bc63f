"""What callbacks see and change is the same in both engines, and SB3's."""

from __future__ import annotations

import pickle
from collections.abc import Callable
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
from torch import nn

import agents.training.engine
import envs
from agents import PPO
from agents.objectives import PolicyLoss
from agents.policies import ActorCriticPolicy
from agents.training import stepper
from agents.training.engine.trunk import executor_named
from agents.training.listeners import is_quiet
from envs.backends import arrays
from envs.backends.inprocess import InProcessVecEnv

ENGINES = "torch", "fused"
SMALL: dict[str, Any] = {"n_steps": 24, "batch_size": 12, "n_epochs": 2, "seed": 0, "device": "cpu"}


def frozen(_: float) -> float:
    """A learning rate."""
    return 0.0


class Calls(BaseCallback):
    """Functions of the callback for its events."""

    def __init__(self, **events: Callable[[Any], Any]) -> None:
        super().__init__()
        self.events = events

    def call(self, event: str) -> None:
        if event in self.events:
            self.events[event](self)

    def _on_training_start(self) -> None:
        self.call("start")

    def _on_rollout_start(self) -> None:
        self.call("rollout")

    def _on_rollout_end(self) -> None:
        self.call("rollout_end")

    def _on_step(self) -> bool:
        self.call("step")
        return True


def model_of(engine: str, env: Any = "CartPole-v1", cls: type[PPO] = PPO, **options: Any) -> PPO:
    venv = envs.make_vec(env, 2, seed=0) if isinstance(env, str) else env
    return cls("MlpPolicy", venv, engine=engine, **SMALL | options)


def weights(model: PPO) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


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


def hooked(callback: Any) -> None:
    callback.model.policy.action_net.register_forward_hook(lambda *_: callback.model.heard.append(1))


def other_value_net(callback: Any) -> None:
    policy = callback.model.policy
    policy.value_net = nn.Linear(64, 1)
    nn.init.constant_(policy.value_net.bias, 50.0)
    policy.optimizer = torch.optim.Adam(policy.parameters())


def frozen_values(callback: Any) -> None:
    callback.model.policy.value_net.weight.requires_grad_(False)


@pytest.mark.parametrize("event", ["start", "rollout", "rollout_end"])
def test_a_hook_is_heard_from_when_it_was_put_there(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.training.engine, "PAYS_FROM", 0)
    model = model_of("auto")
    model.heard = []  # type: ignore[attr-defined]
    model.learn(48, Calls(**{event: hooked}))
    assert "hooks: on action_net" in model.engine_description
    assert len(model.heard) == 8 + (24 if event != "rollout_end" else 0)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="engine='fused': hooks"):
        model_of("fused").learn(48, Calls(start=hooked))


def test_layers_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.training.engine, "PAYS_FROM", 0)
    model = model_of("auto", learning_rate=frozen)
    model.learn(48, Calls(rollout=other_value_net))
    assert "fused" in model.engine_description
    assert model.rollout_buffer.values.mean() > 40
    for network in (model.policy.mlp_extractor.policy_net, model.policy.mlp_extractor.value_net):
        network[1], network[3] = nn.ReLU(), nn.ReLU()
    model.learn(48)
    with torch.no_grad():
        values = model.policy.predict_values(torch.from_numpy(model.rollout_buffer.observations.reshape(48, -1)))
    np.testing.assert_allclose(model.rollout_buffer.values.ravel(), values.flatten().numpy(), rtol=1e-5)
    model.learn(48, Calls(rollout_end=frozen_values))
    assert "frozen" in model.engine_description


class OwnSampled(ActorCriticPolicy):
    def sampled(self, *args: Any) -> torch.Tensor:
        return super().sampled(*args)


class OwnValues(ActorCriticPolicy):
    def predict_values(self, *args: Any) -> torch.Tensor:
        return super().predict_values(*args)


class OwnLimit(PPO):
    def beyond_target_kl(self, *args: Any) -> bool:
        return super().beyond_target_kl(*args)


def test_what_is_done_in_an_own_way_stays_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.training.engine, "PAYS_FROM", 0)
    for name, model in {
        "own sampled": PPO(OwnSampled, envs.make_vec("CartPole-v1", 2), **SMALL),
        "own predict_values": PPO(OwnValues, envs.make_vec("CartPole-v1", 2), **SMALL),
        "own beyond_target_kl": model_of("auto", cls=OwnLimit),
    }.items():
        model.learn(48)
        assert name in model.engine_description
    for name in ("evaluate", "sampled"):
        model = model_of("auto")
        setattr(model.policy, name, getattr(model.policy, name))
        model.learn(48)
        assert f"own {name}" in model.engine_description
    model = model_of("auto")
    model.critic_loss = model.critic_loss  # type: ignore[method-assign]
    model.learn(48)
    assert "own critic_loss" in model.engine_description


class Plain:
    """The policy gradient times a number, without metrics."""

    def __init__(self, scale: Any = 1.0) -> None:
        self.scale = scale

    def __call__(self, new: Any, old: Any, actions: torch.Tensor, advantages: torch.Tensor) -> PolicyLoss:
        return PolicyLoss(-self.scale * advantages * (new.log_prob(actions) - old.log_prob(actions)).exp(), {})


class WithPlain(PPO):
    def objective(self) -> Any:
        return Plain()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_objective_needs_no_metrics(engine: str) -> None:
    model = model_of(engine, cls=WithPlain)
    before = weights(model)
    model.learn(48)
    assert not torch.equal(weights(model), before)
    with pytest.raises(ValueError, match=r"target_kl=0.01: the objective has no metric 'approx_kl'"):
        model_of(engine, cls=WithPlain, target_kl=0.01)


@pytest.mark.parametrize("nothing", [0.0, np.float32(0), torch.tensor(0.0)], ids=lambda x: type(x).__name__)
def test_what_an_objective_holds_may_be_replaced(nothing: Any) -> None:
    after: list[torch.Tensor] = []
    engines: list[str] = []

    def rollout(callback: Any) -> None:
        after.append(weights(callback.model))
        if len(after) == 2:
            callback.model._objective.scale = nothing

    def rollout_end(callback: Any) -> None:
        engines.append(callback.model.engine_description)

    model = model_of("fused", cls=WithPlain, vf_coef=0.0, policy_kwargs={"optimizer_kwargs": {"betas": (0.0, 0.9)}})
    model._objective.scale = type(nothing)(1) if not isinstance(nothing, torch.Tensor) else torch.tensor(1.0)  # type: ignore[attr-defined]
    model.learn(192, Calls(rollout=rollout, rollout_end=rollout_end))
    assert not torch.equal(after[0], after[1])
    assert torch.equal(after[1], after[2]) and torch.equal(after[2], after[3])
    assert "objective by torch" not in engines[0]
    assert "objective by torch: Plain.scale has changed" in engines[1]


def test_numba_that_compiles_nothing_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert executor_named("auto") == "numpy"


def test_torchs_default_precision_is_no_matter() -> None:
    model = model_of("fused")
    torch.set_default_dtype(torch.float64)
    try:
        model.learn(48)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in model.policy.parameters()} == {torch.float32}


def test_large_finite_outputs_are_acted_on() -> None:
    model = model_of("fused", learning_rate=frozen)
    with torch.no_grad():
        model.policy.action_net.bias.copy_(torch.tensor([2e19, 0.0]))
    model.learn(
        48, Calls(rollout_end=lambda callback: np.testing.assert_array_equal(callback.model.rollout_buffer.actions, 0))
    )
