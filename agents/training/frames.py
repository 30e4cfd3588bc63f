"""Images of a rollout: stacks that slide along a video, of which each frame is kept once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from .devices import zeros_for

Interleave = Callable[[np.ndarray, np.ndarray, np.ndarray], None]  # as `interleave` of engine/numba_frames.py


class FrameStacks:
    """Stacks [T, N, C, H, W] of bytes as an index [T, N, C] into frames [F, H, W]; np.asarray makes the array of them.

    A stack that slid by one frame (all but its last are all but the first of the step before) adds that frame; any
    other, such as an RGB image, adds all C. There is room for T N C frames, of which the system provides the pages that
    are written to.
    """

    def __init__(self, n_steps: int, n_envs: int, space: spaces.Box, device: torch.device) -> None:
        channels, *size = self._row_shape = space.shape
        self.device, self.index = device, np.zeros((n_steps, n_envs, channels), np.int64)
        self.n_frames, self._next = 0, 0  # frames so far; the step after the one that was put last
        self.frames = zeros_for(device, (n_steps * n_envs * channels, *size), np.uint8)
        self._last = zeros_for(device, (n_envs, channels, *size), np.uint8)
        self._for_network = self._last
        if device.type == "cpu":  # where networks want the channels last
            self._for_network = np.moveaxis(np.zeros((n_envs, *size, channels), np.uint8), -1, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, N, C, H, W)."""
        return *self.index.shape[:2], *self._row_shape

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> np.ndarray:
        """As of the array, but a copy."""
        if isinstance(key, int | slice):  # steps
            return self.frames[self.index[key]]
        return np.asarray(self)[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All stacks, in a new array. ValueError where none may be made."""
        if copy is False:
            raise ValueError("copy=False: the stacks are in no array yet")
        return np.asarray(self[:], dtype)

    def put(self, step: int, stacks: np.ndarray) -> np.ndarray:
        """Keep the stacks [N, C, H, W] of the next step; returns them in the order of memory for networks."""
        n, channels = stacks.shape[:2]
        slides = np.zeros(n, bool)
        if step == 0:
            self.n_frames = 0
        elif step == self._next:
            slides = (stacks[:, :-1] == self._last[:, 1:]).all(axis=(1, 2, 3))
        for row, slid in enumerate(slides.tolist()):
            new = 1 if slid else channels
            end = self.n_frames + new
            self.frames[self.n_frames : end] = stacks[row, channels - new :]
            self.index[step, row, : channels - new] = self.index[step - 1, row, new:]
            self.index[step, row, channels - new :] = np.arange(self.n_frames, end)
            self.n_frames = end
        self._last[:], self._next = stacks, step + 1
        if self._for_network is not self._last:
            self._for_network[:] = stacks
        return self._for_network

    def column(self, interleave: Interleave | None = None) -> FrameColumn:
        """The T N stacks as a column of minibatches, on the device; with compiled code to put four frames together."""
        parts = self.frames[: self.index.max() + 1], self.index.reshape(-1, self.index.shape[-1])
        frames, stacks = (torch.from_numpy(part).to(self.device, non_blocking=True) for part in parts)
        return FrameColumn(frames, stacks, interleave)


class FrameColumn(NamedTuple):
    """R stacks of C frames."""

    frames: Tensor  # [F, H, W]
    stacks: Tensor  # [R, C] of frames
    interleave: Interleave | None

    def take(self, rows: Tensor) -> Tensor:
        """The stacks [B, C, H, W] of some rows, channels last in memory."""
        stacks, size = self.stacks[rows], self.frames.shape[1:]
        if self.interleave is not None and stacks.shape[1] == 4:
            pixels = np.empty((len(stacks), size.numel()), np.uint32)
            self.interleave(self.frames.flatten(1).numpy(), stacks.numpy(), pixels)
            return torch.from_numpy(pixels.view(np.uint8).reshape(-1, *size, 4)).permute(0, 3, 1, 2)
        images = self.frames.new_empty((len(stacks), *size, stacks.shape[1]))
        for channel, frames in enumerate(stacks.unbind(1)):
            images[..., channel] = self.frames.index_select(0, frames)
        return images.permute(0, 3, 1, 2)
