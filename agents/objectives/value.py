"""The critic's loss."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import ScalarLike


def value_loss(
    values: Tensor, returns: Tensor, old_values: Tensor | None = None, clip_range_vf: ScalarLike | None = None
) -> Tensor:
    """(V_clipped - R)^2 per sample, [B], for values, returns and old_values [B].

    With `clip_range_vf` the prediction is V_old + clip(V - V_old, -clip_range_vf, clip_range_vf), as SB3 clips it (its
    scale is that of the returns); without it the plain squared error.
    """
    if clip_range_vf is not None:
        assert old_values is not None
        values = old_values + (values - old_values).clamp(min=-clip_range_vf).clamp(max=clip_range_vf)
    return torch.square(values - returns)
