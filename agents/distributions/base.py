"""What every action distribution offers beyond torch's own: divergences, clamped log-probabilities, diagnostics."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..geometry import Divergence

LOG_FLOOR = math.log(1e-12)
NO_SHAPE = torch.Size()


class ActionDistribution(Distribution):
    """A policy at a batch of states. `[B]` stands for the batch shape; actions are [B] or [B, K].

    `log_prob` is literal: -inf where a sparse head gives probability zero. `full_support` says that it never does.
    """

    arg_constraints: ClassVar[dict] = {}
    full_support: bool = True

    def clamped_log_prob(self, actions: Tensor) -> Tensor:
        """`log_prob` [B] for losses: a sparse head's is clamped at log 1e-12, with zero gradient below."""
        return self.log_prob(actions)

    def f_divergence(self, divergence: Divergence, reference: Tensor | Distribution | None = None) -> Tensor:
        """D_f(self || reference) [B]; reference None is uniform. ValueError where there is no closed form."""
        raise ValueError(f"f_divergence: {type(self).__name__} has no closed form of the {divergence} divergence")

    def diagnostics(self) -> dict[str, Tensor]:
        """What to log about the head; each value [B] or a scalar, without gradient."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)})"


def clamped_log_prob(distribution: Distribution, actions: Tensor) -> Tensor:
    """log_prob [B] for losses, of any torch distribution: finite where a sparse head gives probability zero."""
    if isinstance(distribution, ActionDistribution):
        return distribution.clamped_log_prob(actions)
    return distribution.log_prob(actions)


def clamp_to_floor(log_probs: Tensor) -> Tensor:
    """log p clamped at log 1e-12, with zero gradient below."""
    return log_probs.clamp_min(LOG_FLOOR)


def lost_support_to_floor(log_probs: Tensor, full_support: bool) -> Tensor:
    """log q under KL(p || q): zeros of q count as 1e-12; a head of full support is left alone elsewhere."""
    if full_support:
        return torch.where(log_probs == -math.inf, LOG_FLOOR, log_probs)
    return clamp_to_floor(log_probs)
