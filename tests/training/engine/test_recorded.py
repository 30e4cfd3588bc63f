"""On a GPU: recordings do what the torch engine does step by step, and give way where they can't."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import ALGORITHMS, PPO
from agents.training.engine.recorded import in_order
from agents.training.rollouts import Minibatch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


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


def trained(algorithm: str = "ppo", steps: int = 128, engine: str = "auto", **arguments: Any) -> Any:
    """A model after some updates; auto takes recordings, as if the run were long."""
    env = DummyVecEnv([lambda: Images(arguments.pop("action_space", None)) for _ in range(4)])
    settings = {"n_steps": 8, "batch_size": 16, "n_epochs": 2} | arguments
    if algorithm in ("trpo", "reinforce"):
        settings.pop("n_epochs")
    model = ALGORITHMS[algorithm]("CnnPolicy", env, seed=0, device="cuda", engine=engine, **settings)
    return model.learn(steps)


@pytest.fixture(autouse=True)
def short_runs_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.training.engine.PAYS_FROM", 0)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


def logged(model: Any) -> dict[str, float]:
    return {name: value for name, value in model.logger.name_to_value.items() if name.startswith("train/")}


@needs_gpu
@pytest.mark.parametrize("algorithm", ["ppo", "spma", "lco", "mdpo"])
def test_same_as_step_by_step(algorithm: str) -> None:
    recorded, stepwise = trained(algorithm), trained(algorithm, engine="torch")
    assert "CUDA graphs" in recorded.engine_description
    assert stepwise.engine_description == "torch (engine='torch')"
    np.testing.assert_array_equal(recorded.rollout_buffer.actions, stepwise.rollout_buffer.actions)
    torch.testing.assert_close(weights(recorded), weights(stepwise), rtol=1e-4, atol=1e-5)
    assert logged(recorded).keys() == logged(stepwise).keys()
    for name, value in logged(recorded).items():
        assert value == pytest.approx(logged(stepwise)[name], rel=1e-2, abs=1e-4), name


@needs_gpu
@pytest.mark.parametrize("head", ["softmax", "tsallis:0.5", "tsallis:1.5", "tsallis:3", "reverse_kl", "js", "chi2"])
def test_every_head_can_be_recorded(head: str) -> None:
    arguments = {"policy_kwargs": {"head": head}, "regularizer": "tsallis:0.5", "reg_coef": 0.01, "reg_where": "both"}
    recorded, stepwise = trained(**arguments), trained(engine="torch", **arguments)
    assert "CUDA graphs" in recorded.engine_description
    torch.testing.assert_close(weights(recorded), weights(stepwise), rtol=1e-3, atol=1e-4)


@needs_gpu
@pytest.mark.filterwarnings("ignore:batch_size=12 does not divide")
@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 12},  # the last minibatch is smaller
        {"advantage": "dense"},
        {"reg_reference": "snapshot:2", "regularizer": "kl", "reg_coef": 0.1},
        {"n_critic_updates": 2},
        {"target_kl": 1e-5},
        {"action_space": spaces.Box(-1, 1, (2,))},
        {"action_space": spaces.MultiDiscrete([3, 3])},
        {"policy_kwargs": {"precision": "bf16"}},
        {"policy_kwargs": {"share_features_extractor": False}},
    ],
    ids=str,
)
def test_same_with_other_settings(arguments: dict[str, Any]) -> None:
    recorded, stepwise = trained(**copy.deepcopy(arguments)), trained(engine="torch", **copy.deepcopy(arguments))
    assert "CUDA graphs" in recorded.engine_description
    tolerance = 1e-2 if "policy_kwargs" in arguments else 1e-4
    torch.testing.assert_close(weights(recorded), weights(stepwise), rtol=tolerance, atol=tolerance)


@needs_gpu
def test_a_later_learn_goes_on_with_the_recordings() -> None:
    model = trained()
    before = model._recorded
    assert model.learn(64, reset_num_timesteps=False)._recorded is before
    model.set_env(DummyVecEnv([Images for _ in range(4)]))
    assert torch.isfinite(weights(model.learn(64))).all()


@needs_gpu
def test_repeats_are_equal_to_the_bit() -> None:
    assert torch.equal(weights(trained()), weights(trained()))


@needs_gpu
@pytest.mark.parametrize("algorithm", ["trpo", "reinforce"])
def test_other_steps_stay_as_they_are(algorithm: str) -> None:
    model = trained(algorithm, steps=32)
    assert torch.isfinite(weights(model)).all()


@needs_gpu
def test_what_waits_for_the_gpu_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = PPO.policy_aliases["CnnPolicy"].sampled  # type: ignore[attr-defined]

    def waiting(self: Any, parameters: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
        parameters.sum().item()
        return sampled(self, parameters, masks)

    monkeypatch.setattr(PPO.policy_aliases["CnnPolicy"], "sampled", waiting)
    assert "no CUDA graphs: called a synchronizing CUDA operation" in trained().engine_description
    monkeypatch.setattr("agents.training.engine.recorded.no_waiting", nullcontext)
    model = trained()  # fails in the midst of a recording
    assert model.engine_description.startswith("torch (no CUDA graphs: ")
    assert torch.isfinite(weights(model)).all()


@needs_gpu
def test_a_network_that_is_not_finite_is_refused() -> None:
    model = trained()
    with torch.no_grad():
        model.policy.action_net.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        model.learn(32)
    assert torch.zeros(1, device="cuda").item() == 0  # the GPU is still there


@needs_gpu
def test_saved_on_a_gpu_goes_on_anywhere(tmp_path: Any) -> None:
    model = trained()
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
