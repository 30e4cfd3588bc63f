"""Convolutions with ReLU by Winograd's minimal filtering: fewer multiplications than torch's, on one thread of a CPU.

As exact as torch's, which sums the products in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...policies.images import convolve_relu
from .numba_winograd import (
    LANES,
    SIDE,
    inputs_to_tiles,
    outputs_to_tiles,
    tiles_to_inputs,
    tiles_to_outputs,
)

TOGETHER = 8  # images whose tiles are multiplied at a time: so many that they stay in the cache
FEW = 32  # images for which it does not pay to transform the kernel

#: G of taps of k pixels, the kernel at the points 0, 1, -1 and infinity; and what it is on both sides, [16, k k].
G = {
    2: torch.tensor([[1, 0], [0.5, 0.5], [0.5, -0.5], [0, 1]]),
    3: torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
}
BOTH_SIDES = {taps: torch.kron(g, g) for taps, g in G.items()}


def winograd_relu(images: Tensor, kernel: Tensor, bias: Tensor, stride: int) -> Tensor:
    """max(images [B, C, H, W] * kernel [O, C, K, K] + bias [O], 0) as [B, O, h, w], all channels last.

    Images may be bytes. By torch on several threads, for few images, and where the sizes do not suit.
    """
    if torch.get_num_threads() > 1 or len(images) < FEW or not _suits(images, kernel, stride):
        return convolve_relu(images, kernel, bias, stride)
    return _WinogradRelu.apply(images.contiguous(memory_format=torch.channels_last), kernel, bias, stride)


def _suits(images: Tensor, kernel: Tensor, stride: int) -> bool:
    (_, channels, height, width), (features, _, size, _) = images.shape, kernel.shape
    taps, rest = divmod(size, stride)
    smallest = min(height, width) - size >= (SIDE - taps) * stride  # one tile
    vectors = stride * channels % LANES == 0 == features % LANES
    types = kernel.dtype == torch.float32 and images.dtype in (torch.float32, torch.uint8)
    return rest == 0 and taps in G and smallest and vectors and types


class _WinogradRelu(torch.autograd.Function):
    """Gradients by the transposed maps; second derivatives are torch's."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, kernel: Tensor, bias: Tensor, stride: int) -> Tensor:
        shape = _shape(images, kernel, stride)
        *_, h, w, features, _ = shape
        outputs = torch.empty((len(images), features, h, w), memory_format=torch.channels_last)
        matrices = _matrices(kernel, stride)
        pixels, results, offset = _flat(images), _flat(outputs), _flat(bias)
        rooms = _Rooms(len(images), matrices, shape)
        for first, n, inputs, products in rooms.groups():
            inputs_to_tiles(pixels, rooms.inputs, first, n, shape)
            torch.bmm(inputs, matrices, out=products)
            tiles_to_outputs(rooms.products, offset, results, first, n, shape)
        ctx.save_for_backward(images, kernel, bias, outputs)
        ctx.stride, ctx.matrices = stride, matrices
        return outputs

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        images, kernel, bias, outputs = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0]
        if torch.is_grad_enabled():  # these derivatives are to be differentiated themselves
            return *_differentiable(images, kernel, bias, outputs, d_outputs, ctx.stride, wanted), None
        shape, matrices = _shape(images, kernel, ctx.stride), ctx.matrices
        d_images = torch.empty_like(images, memory_format=torch.channels_last) if wanted else None
        d_matrices, d_bias, transposed = torch.zeros_like(matrices), torch.zeros_like(bias), matrices.mT
        d_outputs = d_outputs.contiguous(memory_format=torch.channels_last)
        pixels, results, d_results = _flat(images), _flat(outputs), _flat(d_outputs)
        d_pixels = None if d_images is None else _flat(d_images)
        rooms = _Rooms(len(images), matrices, shape)
        for first, n, inputs, products in rooms.groups():
            outputs_to_tiles(d_results, results, rooms.products, first, n, shape)
            inputs_to_tiles(pixels, rooms.inputs, first, n, shape)
            d_matrices.baddbmm_(inputs.mT, products)
            d_bias += products[SIDE + 1].sum(0)  # at the point 1 a tile is the sum of its outputs
            if d_pixels is not None:
                torch.bmm(products, transposed, out=inputs)
                tiles_to_inputs(rooms.inputs, d_pixels, first, n, shape)
        return d_images, _kernel(d_matrices, kernel, ctx.stride), d_bias, None


def _shape(images: Tensor, kernel: Tensor, stride: int) -> tuple[int, ...]:
    """(H, W, C, s, h, w, O, m)."""
    (_, channels, height, width), (features, _, size, _) = images.shape, kernel.shape
    h, w = ((side - size) // stride + 1 for side in (height, width))
    return height, width, channels, stride, h, w, features, SIDE + 1 - size // stride


class _Rooms:
    """Space for the tiles of a group of images before and after the product with the matrices [16, s s C, O]."""

    def __init__(self, n_images: int, matrices: Tensor, shape: tuple[int, ...]) -> None:
        *_, h, w, _, m = shape
        self.sizes, self.tiles = matrices.shape, -(-h // m) * -(-w // m)
        squares, channels, features = self.sizes
        self.n_images, most = n_images, min(n_images, TOGETHER) * self.tiles
        self.before, self.after = torch.empty(squares * most * channels), torch.empty(squares * most * features)
        self.inputs, self.products = self.before.numpy(), self.after.numpy()

    def groups(self) -> Iterator[tuple[int, int, Tensor, Tensor]]:
        """First image and number of images, tiles before [16, n tiles, s s C] and after [16, n tiles, O], by group."""
        squares, channels, features = self.sizes
        for first in range(0, self.n_images, TOGETHER):
            n = min(TOGETHER, self.n_images - first)
            rows = squares * n * self.tiles
            inputs, products = self.before[: rows * channels], self.after[: rows * features]
            yield first, n, inputs.view(squares, -1, channels), products.view(squares, -1, features)


def _matrices(kernel: Tensor, stride: int) -> Tensor:
    """U [16, s s C, O]: the kernel [O, C, K, K] transformed."""
    features, channels, size, _ = kernel.shape
    taps = size // stride
    split = kernel.detach().reshape(features, channels, taps, stride, taps, stride).permute(2, 4, 3, 5, 1, 0)
    return (BOTH_SIDES[taps] @ split.reshape(taps * taps, -1)).view(SIDE * SIDE, -1, features)


def _kernel(matrices: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """The transposed map: [O, C, K, K] from [16, s s C, O]."""
    features, channels, size, _ = kernel.shape
    taps = size // stride
    split = BOTH_SIDES[taps].T @ matrices.view(SIDE * SIDE, -1)
    ordered = split.view(taps, taps, stride, stride, channels, features).permute(5, 4, 0, 2, 1, 3)
    return ordered.reshape(kernel.shape).contiguous(memory_format=torch.channels_last)


def _flat(tensor: Tensor) -> np.ndarray:
    """The numbers of a dense tensor in the order of its memory."""
    there = tensor.detach()
    return (there.permute(0, 2, 3, 1) if there.dim() == 4 else there).contiguous().numpy().reshape(-1)


def _differentiable(
    images: Tensor, kernel: Tensor, bias: Tensor, outputs: Tensor, d_outputs: Tensor, stride: int, wanted: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    return torch.ops.aten.convolution_backward(
        d_outputs * (outputs > 0), images.to(kernel.dtype), kernel, bias.shape,
        [stride, stride], [0, 0], [1, 1], False, [0, 0], 1, [wanted, True, True],
    )  # fmt: skip
