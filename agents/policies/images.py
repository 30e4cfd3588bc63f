"""NatureCNN as fast as the hardware allows: the same layers, names and weights as SB3's, fed with raw pixels."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import NatureCNN
from torch import Tensor
from torch.nn import functional

from ..suggest import check_choice

PRECISIONS = ("fp32", "bf16")


class RawNatureCNN(NatureCNN):
    """SB3's NatureCNN for uint8 images [B, C, H, W] as they come: conv(x / 255, w) is computed as conv(x, w / 255).

    Images and, in a policy, kernels lie in channels-last order, which is what CPUs and tensor cores convolve fastest.

    Args:
        observation_space, features_dim, normalized_image: SB3's; images that are normalised already come as floats.
        precision: "fp32", or "bf16": convolutions and the linear layer in bfloat16, weights and features in float32.
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
        self.precision = precision
        self._features: Any = torch.compile(self._layers) if compile else self._layers

    def forward(self, observations: Tensor) -> Tensor:
        """Features [B, F] float32 of images [B, C, H, W]."""
        half = self.precision == "bf16"
        dtype = torch.bfloat16 if half else torch.float32
        pixels = observations.contiguous(memory_format=torch.channels_last).to(dtype)
        scale = 1.0 if observations.is_floating_point() else 1 / 255
        with torch.autocast(observations.device.type, torch.bfloat16) if half else nullcontext():
            return self._features(pixels, scale).float()

    def _layers(self, pixels: Tensor, scale: float) -> Tensor:
        first = self.cnn[0]
        hidden = functional.conv2d(pixels, first.weight * scale, first.bias, first.stride)
        return self.linear(self.cnn[1:](hidden))
