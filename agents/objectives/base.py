"""The objective protocol: (new, old, actions, advantages) -> per-sample loss and metrics.

Shapes in this package: B samples; actions as the action space has them, [B] or [B, K]; advantages [B].
Losses are per sample and to be minimised; the training loop reduces once, outside.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..distributions import clamped_log_prob

ScalarLike = float | Tensor


class PolicyLoss(NamedTuple):
    """A loss per sample [B] and the metrics to log, each [B] or a scalar."""

    loss: Tensor
    metrics: dict[str, Tensor]


class Objective(Protocol):
    """A policy objective. `old` is the behaviour distribution, a constant; gradients flow through `new` only."""

    def __call__(self, new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> PolicyLoss:
        """The loss of `new` on a batch of actions drawn from `old`."""
        ...


def log_ratio(new: Distribution, old: Distribution, actions: Tensor) -> Tensor:
    """log pi_new(a|s) - log pi_old(a|s), [B]; where a sparse head gives zero, the log is clamped at log 1e-12."""
    return clamped_log_prob(new, actions) - clamped_log_prob(old, actions)


def sampled_kl_old_new(log_ratio: Tensor) -> Tensor:
    """KL(old || new) estimated on samples of old, [B]: r - 1 - log r, non-negative, low variance (Schulman's k3)."""
    return torch.expm1(log_ratio) - log_ratio
