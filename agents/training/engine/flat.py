"""All parameters of an actor-critic in one buffer, of which the tensors that torch knows are views."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FlatParameters:
    """One float32 buffer [n] for an actor's and a critic's parameters, and one for their gradient.

    The nn.Parameters become views into it, so torch and NumPy see each other's writes. `array` and `gradient` are the
    buffers in NumPy; `actor`, `critic` and `all` the slices of the parts.
    """

    def __init__(self, actor: Sequence[nn.Parameter], critic: Sequence[nn.Parameter]) -> None:
        self.parameters = [*actor, *critic]
        self.offsets = [0, *itertools.accumulate(p.numel() for p in self.parameters)]
        self.n_actor = len(actor)
        boundary, size = self.offsets[self.n_actor], self.offsets[-1]
        self.actor, self.critic, self.all = slice(0, boundary), slice(boundary, size), slice(0, size)
        self.tensor, self.gradient_tensor = torch.zeros(2, size, dtype=torch.float32)
        self.array, self.gradient = self.tensor.numpy(), self.gradient_tensor.numpy()
        self._views = self.views(self.tensor)
        self.mend()

    def views(self, buffer: Tensor) -> list[Tensor]:
        """A buffer [n] cut into tensors of the parameters' shapes."""
        pieces = zip(self.parameters, itertools.pairwise(self.offsets), strict=True)
        return [buffer[start:stop].view(p.shape) for p, (start, stop) in pieces]

    def check(self) -> bool:
        """Whether every parameter is still the view it was made."""
        return all(map(same_memory, self.parameters, self._views))

    @torch.no_grad()
    def mend(self) -> bool:
        """Make views again of the parameters that are none, with their values; whether there was one."""
        intact = self.check()
        if not intact:
            for p, view in zip(self.parameters, self._views, strict=True):
                if not same_memory(p, view):
                    view.copy_(p)
                    p.data = view
        return not intact


def same_memory(tensor: Tensor, view: Tensor) -> bool:
    """Whether two tensors are the same numbers in the same place."""
    return tensor.data_ptr() == view.data_ptr() and tensor.shape == view.shape and tensor.is_contiguous()
