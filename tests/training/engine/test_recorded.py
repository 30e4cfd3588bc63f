"""On a GPU: recordings do what the torch engine does step by step, and give way where they can't."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import ALGORITHMS, PPO
from agents.policies import CnnPolicy
from agents.training.engine import make_engine, recorded
from agents.training.engine.recorded import in_order
from agents.training.rollouts import Minibatch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
both = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)], indirect=True)


@pytest.fixture
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A GPU, or the CPU as one whose recordings are the code itself: shapes, order and masks are the same there."""
    if request.param == "cpu":
        made, record = recorded.RecordedAct.__init__, torch.cuda.make_graphed_callables

        def act(self: Any, policy: Any, buffer: Any) -> None:
            made(self, policy, buffer)
            self._graph.replay = torch.no_grad()(
                lambda: [to.copy_(new) for to, new in zip(self._results, self._acted(), strict=True)]
            )

        def once(module: Any, samples: tuple[torch.Tensor, ...], *_: Any, **__: Any) -> Any:
            return lambda *tensors: module(*[to.copy_(new) for to, new in zip(samples, tensors, strict=True)])

        monkeypatch.setattr(recorded.RecordedAct, "__init__", act)
        monkeypatch.setattr(torch.cuda, record.__name__, once)
        for name in ("synchronize", "set_sync_debug_mode", "Stream"):
            monkeypatch.setattr(torch.cuda, name, lambda *_: None)
        for name in ("stream", "graph"):
            monkeypatch.setattr(torch.cuda, name, nullcontext)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", SimpleNamespace)
        monkeypatch.setattr(torch.random, "fork_rng", lambda devices: torch_fork_rng(devices=[]))
        monkeypatch.setattr("agents.training.engine.on_gpu", lambda device: True)
    return request.param


torch_fork_rng = torch.random.fork_rng


class Images(gymnasium.Env):
    """Random frames whose reward depends on the action."""

    observation_space = spaces.Box(0, 255, (4, 36, 36), np.uint8)

    def __init__(self, action_space: spaces.Space | None = None) -> None:
        self.action_space = action_space or spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._frame(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._frame(), float(np.sum(action)), self.steps >= 7, False, {}

    def _frame(self) -> np.ndarray:
        return self.np_random.integers(256, size=(4, 36, 36), dtype=np.uint8)


class Masked(Images):
    """The last action is never valid."""

    def action_masks(self) -> np.ndarray:
        return np.array([True, True, False])


class Pairs(Images):
    """Frames and a vector."""

    observation_space = spaces.Dict({"frame": Images.observation_space, "vector": spaces.Box(0, 1, (2,))})  # type: ignore[assignment]

    def _frame(self) -> Any:
        return {"frame": super()._frame(), "vector": self.np_random.random(2, np.float32)}


def trained(device: str, algorithm: str = "ppo", steps: int = 128, engine: str = "auto", **arguments: Any) -> Any:
    """A model after some updates; auto takes recordings, as if the run were long."""
    make = arguments.pop("env", Images)
    settings = {"n_steps": 8, "batch_size": 16, "n_epochs": 2, "policy": "CnnPolicy"} | arguments
    if algorithm in ("trpo", "reinforce"):
        settings.pop("n_epochs")
    env = DummyVecEnv([make for _ in range(4)])
    model = ALGORITHMS[algorithm](env=env, seed=0, device=device, engine=engine, **settings)
    return model.learn(steps)


def is_recorded(model: Any) -> bool:
    return "recorded as CUDA graphs" in model.engine_description


@pytest.fixture(autouse=True)
def short_runs_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.training.engine.PAYS_FROM", 0)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


def logged(model: Any) -> dict[str, float]:
    return {name: value for name, value in model.logger.name_to_value.items() if name.startswith("train/")}


@both
@pytest.mark.parametrize("algorithm", ["ppo", "spma", "lco", "mdpo"])
def test_same_as_step_by_step(device: str, algorithm: str) -> None:
    ours, stepwise = trained(device, algorithm), trained(device, algorithm, engine="torch")
    assert is_recorded(ours) and stepwise.engine_description == "torch (engine='torch')"
    np.testing.assert_array_equal(ours.rollout_buffer.actions, stepwise.rollout_buffer.actions)
    torch.testing.assert_close(weights(ours), weights(stepwise), rtol=1e-4, atol=1e-5)
    assert logged(ours).keys() == logged(stepwise).keys()
    for name, value in logged(ours).items():
        assert value == pytest.approx(logged(stepwise)[name], rel=1e-2, abs=1e-4), name


@both
@pytest.mark.parametrize("head", ["softmax", "tsallis:0.5", "tsallis:1.5", "tsallis:3", "reverse_kl", "js", "chi2"])
def test_every_head_can_be_recorded(device: str, head: str) -> None:
    arguments = {"policy_kwargs": {"head": head}, "regularizer": "tsallis:0.5", "reg_coef": 0.01, "reg_where": "both"}
    ours, stepwise = trained(device, **arguments), trained(device, engine="torch", **arguments)
    assert is_recorded(ours)
    torch.testing.assert_close(weights(ours), weights(stepwise), rtol=1e-3, atol=1e-4)


@both
@pytest.mark.filterwarnings("ignore:batch_size=12 does not divide", "ignore:precision='bf16'")
@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 12},  # the last minibatch is smaller
        {"advantage": "dense"},
        {"reg_reference": "snapshot:2", "regularizer": "kl", "reg_coef": 0.1},
        {"n_critic_updates": 2},
        {"target_kl": 1e-5},
        {"env": partial(Images, spaces.Box(-1, 1, (2,)))},
        {"env": partial(Images, spaces.MultiDiscrete([3, 3]))},
        {"env": Masked},
        {"env": Pairs, "policy": "MultiInputPolicy"},
        {"policy_kwargs": {"precision": "bf16"}},
        {"policy_kwargs": {"share_features_extractor": False}},
    ],
    ids=str,
)
def test_same_with_other_settings(device: str, arguments: dict[str, Any]) -> None:
    ours, stepwise = trained(device, **copy.copy(arguments)), trained(device, engine="torch", **copy.copy(arguments))
    assert is_recorded(ours)
    tolerance = 1e-2 if "policy_kwargs" in arguments else 1e-4
    torch.testing.assert_close(weights(ours), weights(stepwise), rtol=tolerance, atol=tolerance)


@both
def test_a_later_learn_goes_on_with_the_recordings(device: str) -> None:
    model = trained(device)
    before = model._recorded
    assert model.learn(64, reset_num_timesteps=False)._recorded is before
    model.set_env(DummyVecEnv([Images for _ in range(4)]))
    assert torch.isfinite(weights(model.learn(64))).all()


@both
def test_repeats_are_equal_to_the_bit(device: str) -> None:
    assert torch.equal(weights(trained(device)), weights(trained(device)))


@both
@pytest.mark.parametrize("algorithm", ["trpo", "reinforce"])
def test_other_steps(device: str, algorithm: str) -> None:
    model = trained(device, algorithm, steps=32)
    assert is_recorded(model) == (algorithm == "reinforce")
    assert torch.isfinite(weights(model)).all()


class Own(CnnPolicy):
    """May do anything."""


@both
@pytest.mark.parametrize("arguments", [{"policy": Own}, {"policy_kwargs": {"compile": True}}], ids=str)
def test_what_may_do_another_thing_at_each_call_is_not_recorded(device: str, arguments: dict[str, Any]) -> None:
    model = PPO(**{"policy": "CnnPolicy", "env": Images(), "device": device, "n_steps": 8, "batch_size": 8} | arguments)
    made = make_engine(model, 10**6)
    assert made == ("policy Own" if "policy" in arguments else "compile=True")


@both
def test_hooks_and_frozen_layers_are_looked_at_anew(device: str) -> None:
    model = trained(device)
    frozen = model.policy.features_extractor.cnn[0].weight.requires_grad_(False)
    before, recordings = frozen.clone(), model._recorded
    model.learn(32)
    assert is_recorded(model) and model._recorded is not recordings and torch.equal(frozen, before)
    model.policy.value_net.register_forward_hook(lambda *_: None)
    assert model.learn(32).engine_description.startswith("torch (hooks: on value_net)")


@needs_gpu
def test_what_waits_for_the_gpu_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = PPO.policy_aliases["CnnPolicy"].sampled  # type: ignore[attr-defined]

    def waiting(self: Any, parameters: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
        parameters.sum().item()
        return sampled(self, parameters, masks)

    monkeypatch.setattr(PPO.policy_aliases["CnnPolicy"], "sampled", waiting)
    assert "no CUDA graphs: called a synchronizing CUDA operation" in trained("cuda").engine_description
    monkeypatch.setattr("agents.training.engine.recorded.no_waiting", nullcontext)
    model = trained("cuda")  # fails in the midst of a recording
    assert model.engine_description.startswith("torch (no CUDA graphs: ")
    assert torch.isfinite(weights(model)).all()


@both
def test_a_network_that_is_not_finite_is_refused(device: str) -> None:
    model = trained(device)
    with torch.no_grad():
        model.policy.action_net.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        model.learn(32)
    assert torch.zeros(1, device=device).item() == 0  # a GPU is still there


@needs_gpu
def test_saved_on_a_gpu_goes_on_anywhere(tmp_path: Any) -> None:
    model = trained("cuda")
    model.save(tmp_path / "model.zip")
    for device in ("cpu", "cuda"):
        loaded = PPO.load(tmp_path / "model.zip", env=model.get_env(), device=device)
        assert torch.equal(weights(loaded).cpu(), weights(model).cpu())
        assert torch.isfinite(weights(loaded.learn(32))).all()


def test_a_minibatch_in_order_and_back() -> None:
    fields = {name: torch.full((3,), float(i)) for i, name in enumerate(Minibatch._fields)}
    batch = Minibatch(**fields | {"masks": None, "reference": None})
    for seen in (fields["observations"], {"a": fields["observations"], "b": fields["actions"]}):
        tensors, order = in_order(batch._replace(observations=seen))
        again = order.batch(tuple(tensors))._asdict()
        assert again.pop("observations") == seen if isinstance(seen, dict) else again.pop("observations") is seen
        assert again.pop("masks") is None and again.pop("reference") is None
        assert all(value is fields[name] for name, value in again.items())


def test_auto_device_is_the_cpu_without_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "stable_baselines3.common.base_class.get_device"
    monkeypatch.setattr(module, lambda device: torch.device("cuda" if device == "auto" else device))
    assert PPO("MlpPolicy", "CartPole-v1").device.type == "cpu"
