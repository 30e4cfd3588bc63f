"""Winograd's convolutions compute what torch's do, as exactly, and are taken where they pay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor

from agents import ALGORITHMS, PPO
from agents.policies.images import convolve_relu

pytest.importorskip("numba", reason="the convolutions are compiled by Numba (extra `fast`)")
from agents.training.engine.winograd import FEW, winograd_relu

#: Channels, features, kernel, stride, height and width: NatureCNN's, then sizes that are no multiple of a tile.
LAYERS = {
    "first": (4, 32, 8, 4, 84, 84),
    "second": (32, 64, 4, 2, 20, 20),
    "third": (64, 64, 3, 1, 9, 9),
    "smallest": (2, 8, 8, 4, 16, 16),
    "two taps, oblong": (4, 16, 8, 4, 53, 30),
    "three taps, oblong": (8, 24, 3, 1, 8, 13),
    "three taps, stride 2": (4, 8, 6, 2, 15, 12),
}


def layer(name: str, n: int = FEW, seed: int = 0) -> tuple[list[Tensor], int]:
    """Images [n, C, H, W], kernel and bias in double precision, channels last, and the stride."""
    channels, features, size, stride, height, width = LAYERS[name]
    generator = torch.Generator().manual_seed(seed)
    shapes = (n, channels, height, width), (features, channels, size, size), (features,)
    images, kernel, bias = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    kernel /= np.sqrt(channels * size**2)
    return [in_order(images), in_order(kernel), bias], stride


def in_order(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def derivatives(convolve: Callable[..., Tensor], inputs: list[Tensor], stride: int, d: Tensor) -> list[Tensor]:
    """Outputs, and what d of them sends back to images, kernel and bias."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    outputs = convolve(*leaves, stride)
    return [outputs, *torch.autograd.grad(outputs, leaves, d.to(outputs.dtype))]


def error(found: Tensor, exact: Tensor) -> float:
    return ((found - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.parametrize("n", [FEW, FEW + 5])
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_against_double_precision(name: str, n: int) -> None:
    inputs, stride = layer(name, n)
    before = torch.nn.functional.conv2d(inputs[0], inputs[1], inputs[2], stride)
    d = torch.randn(before.shape, dtype=torch.float64) * (before.abs() > 1e-4)  # a ReLU may fall to either side of 0
    double = derivatives(convolve_relu, inputs, stride, d)
    single = [tensor.float() for tensor in inputs]
    ours = derivatives(winograd_relu, single, stride, d)
    theirs = derivatives(convolve_relu, single, stride, d)
    assert ours[0].grad_fn is not None and "Winograd" in ours[0].grad_fn.name()
    for found, by_torch, expected in zip(ours, theirs, double, strict=True):
        assert error(found, expected) < max(1e-6, 2 * error(by_torch, expected))


def test_bytes_are_taken_as_they_come() -> None:
    (_, kernel, bias), stride = layer("first")
    images = in_order(torch.randint(256, (FEW, 4, 84, 84), dtype=torch.uint8))
    weights = kernel.float().requires_grad_(), bias.float().requires_grad_()
    outputs = [winograd_relu(pixels, *weights, stride) for pixels in (images, images.float())]
    gradients = [torch.autograd.grad(output.square().mean(), weights) for output in outputs]
    assert torch.equal(*outputs)
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_any_layout_of_images_and_derivatives() -> None:
    inputs, stride = layer("third")
    images, kernel, bias = (tensor.float() for tensor in inputs)
    d = torch.randn(FEW, 64, 7, 7)
    expected = derivatives(winograd_relu, [images, kernel, bias], stride, in_order(d))
    found = derivatives(winograd_relu, [images.contiguous(), kernel.contiguous(), bias], stride, d)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_repeats_are_equal_bit_for_bit() -> None:
    inputs, stride = layer("second", FEW + 3)
    single = [tensor.float() for tensor in inputs]
    d = torch.randn(FEW + 3, 64, 9, 9)
    first, second = (derivatives(winograd_relu, single, stride, d) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_second_derivatives() -> None:
    inputs, stride = layer("three taps, oblong")

    def curvature(convolve: Callable[..., Tensor]) -> Tensor:
        images, kernel, bias = (tensor.float().requires_grad_() for tensor in inputs)
        (slope,) = torch.autograd.grad(
            convolve(images, kernel, bias, stride).square().mean(), kernel, create_graph=True
        )
        return torch.autograd.grad(slope.square().sum(), kernel)[0]

    torch.testing.assert_close(curvature(winograd_relu), curvature(convolve_relu), rtol=1e-4, atol=1e-7)


def test_nan_is_not_hidden_by_the_relu() -> None:
    inputs, stride = layer("third")
    images, kernel, bias = (tensor.float() for tensor in inputs)
    kernel[0, 0, 0, 0] = torch.nan
    assert winograd_relu(images, kernel, bias, stride)[:, 0].isnan().all()


@pytest.mark.parametrize("case", ["few images", "two threads", "one channel", "odd kernel", "no tile", "double"])
def test_torch_where_it_is_better_or_the_only_way(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if case == "two threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    n, dtype = FEW - (case == "few images"), torch.float64 if case == "double" else torch.float32
    channels, size, side = (
        1 if case == "one channel" else 8,
        5 if case == "odd kernel" else 3,
        3 if case == "no tile" else 9,
    )
    images, kernel, bias = (
        torch.randn(n, channels, side, side, dtype=dtype),
        torch.randn(8, channels, size, size),
        torch.randn(8),
    )
    inputs = images, kernel.to(dtype), bias.to(dtype), 1
    assert torch.equal(winograd_relu(*inputs), convolve_relu(*inputs))


class Frames(gymnasium.Env):
    """Random frames whose reward depends on the action."""

    observation_space = spaces.Box(0, 255, (4, 36, 36), np.uint8)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self._frame(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self._frame(), float(action), False, False, {}

    def _frame(self) -> np.ndarray:
        return self.np_random.integers(256, size=(4, 36, 36), dtype=np.uint8)


def model_of(algorithm: str = "ppo", **arguments: Any) -> Any:
    settings = {"n_steps": 16, "batch_size": 64, "n_epochs": 2, "policy": "CnnPolicy", "seed": 0} | arguments
    return ALGORITHMS[algorithm](env=DummyVecEnv([Frames] * 8), device="cpu", **settings)


@pytest.fixture
def short_runs_pay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("agents.training.engine.PAYS_FROM", 0)
    yield


def convolution_of(model: Any) -> Any:
    return model.policy.features_extractor.convolve


@pytest.mark.usefixtures("short_runs_pay")
@pytest.mark.parametrize("algorithm", ["ppo", "spma", "lco", "mdpo"])
def test_an_update_is_that_of_the_torch_engine(algorithm: str) -> None:
    ours, theirs = (model_of(algorithm, engine=engine).learn(128) for engine in ("auto", "torch"))
    assert convolution_of(ours) is winograd_relu and convolution_of(theirs) is convolve_relu
    np.testing.assert_array_equal(ours.rollout_buffer.actions, theirs.rollout_buffer.actions)
    for (name, p), q in zip(ours.policy.named_parameters(), theirs.policy.parameters(), strict=True):
        assert (p - q).abs().max() < 1e-5, name


@pytest.mark.usefixtures("short_runs_pay")
def test_the_engine_says_so_and_can_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    model = model_of(verbose=1).learn(128)
    assert "Engine: torch (observations: Box of uint8), convolutions by numba" in capsys.readouterr().out
    model.engine = "torch"
    model.learn(128)
    assert convolution_of(model) is convolve_relu
    assert "Engine: torch (engine='torch')\n" in capsys.readouterr().out


@pytest.mark.usefixtures("short_runs_pay")
@pytest.mark.parametrize("option", ["precision", "compile"])
@pytest.mark.filterwarnings("ignore:precision='bf16':UserWarning")
def test_other_convolutions_stay(option: str) -> None:
    model = model_of(policy_kwargs={option: {"precision": "bf16", "compile": True}[option]})
    model._setup_learn(128, None)
    assert convolution_of(model) is convolve_relu and "numba" not in model.engine_description


@pytest.mark.usefixtures("short_runs_pay")
def test_a_reference_network_has_them_too() -> None:
    model = model_of(regularizer="kl", reg_reference="initial", reg_coef=0.1)
    model._setup_learn(128, None)
    assert model._reference.policy.features_extractor.convolve is winograd_relu


@pytest.mark.usefixtures("short_runs_pay")
def test_without_numba_or_with_more_threads_they_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("agents.training.engine.convolutions.executor_named", lambda name: "numpy")
        model = model_of()
        model._setup_learn(128, None)
        assert convolution_of(model) is convolve_relu
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    model._setup_learn(128, None)
    assert convolution_of(model) is convolve_relu


def test_a_short_run_does_not_compile() -> None:
    model = PPO("CnnPolicy", DummyVecEnv([Frames]), n_steps=16, batch_size=16, device="cpu")
    model._setup_learn(64, None)
    assert convolution_of(model) is convolve_relu
