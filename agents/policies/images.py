"""NatureCNN as fast as the hardware allows: the same layers, names and weights as SB3's, fed with raw pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import NatureCNN
from torch import Tensor, nn
from torch.nn import functional

from ..suggest import check_choice

PRECISIONS = ("fp32", "bf16")
Convolution = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def convolve_relu(images: Tensor, kernel: Tensor, bias: Tensor, stride: int) -> Tensor:
    """max(images [B, C, H, W] * kernel [O, C, K, K] + bias [O], 0) as [B, O, h, w]; images may be bytes."""
    return functional.conv2d(images.to(kernel.dtype), kernel, bias, stride).relu_()


class RawNatureCNN(NatureCNN):
    """SB3's NatureCNN for uint8 images [B, C, H, W] as they come: conv(x / 255, w) is computed as conv(x, w / 255).

    Images and, in a policy, kernels lie in channels-last order, which is what CPUs and tensor cores convolve fastest.

    Args:
        observation_space, features_dim, normalized_image: SB3's; images that are normalised already come as floats.
        precision: "fp32", or "bf16": convolutions and the linear layer in bfloat16, weights and features in float32.
            On a CPU without instructions for it, where it is several times slower, a warning says so.
        compile: compile the layers with torch.compile, which takes half a minute at first.

    Raises:
        ValueError: for another precision.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        features_dim: int = 512,
        normalized_image: bool = False,
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        check_choice("precision", precision, PRECISIONS)
        super().__init__(observation_space, features_dim, normalized_image)
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.convolve: Convolution = convolve_relu
        self._compiled: Any = torch.compile(self._from_parameters) if compile else None
        self._kept: dict[Any, list[Tensor]] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether its layers run one by one in float32."""
        return self._compiled is None and self.dtype == torch.float32

    def forward(self, observations: Tensor) -> Tensor:
        """Features [B, F] float32 of images [B, C, H, W]."""
        scale = 1.0 if observations.is_floating_point() else 1 / 255
        pixels = observations.contiguous(memory_format=torch.channels_last)
        if self.dtype == torch.bfloat16 and pixels.device.type == "cpu":
            warn_of_slow_bf16()
        if self._compiled is not None:
            return self._compiled(pixels, scale).float()
        return self._layers(pixels, self._weights(scale)).float()

    def _weights(self, scale: float) -> list[Tensor]:
        """Kernels and biases as the layers take them."""
        if self._kept is None or torch.is_grad_enabled():
            return self._converted(scale)
        key = (scale, *(p._version for p in self.parameters()))  # weights may be loaded, which counts as a version
        if key not in self._kept:
            self._kept = {key: self._converted(scale)}
        return self._kept[key]

    def _converted(self, scale: float) -> list[Tensor]:
        first, *others = self.parameters()
        return [first.mul(scale).to(self.dtype), *(p.to(self.dtype) for p in others)]

    def _from_parameters(self, pixels: Tensor, scale: float) -> Tensor:
        return self._layers(pixels, self._converted(scale))

    def _layers(self, hidden: Tensor, weights: list[Tensor]) -> Tensor:
        *kernels, weight, bias = weights
        convolutions = [module for module in self.cnn if isinstance(module, nn.Conv2d)]
        for layer, kernel, offset in zip(convolutions, kernels[::2], kernels[1::2], strict=True):
            hidden = self.convolve(hidden, kernel, offset, layer.stride[0])
        return functional.linear(hidden.flatten(1), weight, bias).relu_()


@cache
def warn_of_slow_bf16() -> None:
    """Once in a process, if the CPU has no arithmetic in bfloat16."""
    if torch.backends.cpu.get_cpu_capability() in ("NO AVX", "AVX2"):
        warnings.warn("precision='bf16': this CPU has no bfloat16 and emulates it, slowly; use 'fp32'", stacklevel=3)


@contextmanager
def acting(policy: nn.Module) -> Iterator[None]:
    """Within, weights of a `RawNatureCNN` are converted once, not at each pass; no optimiser may step meanwhile."""
    networks = [module for module in policy.modules() if isinstance(module, RawNatureCNN)]
    for network in networks:
        network._kept = {}
    try:
        yield
    finally:
        for network in networks:
            network._kept = None
