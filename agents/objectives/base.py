"""The objective protocol: (new, old, actions, advantages) -> per-sample loss and metrics.

Shapes in this package: B samples; actions as the action space has them, [B] or [B, K]; advantages [B] of the sampled
actions, or dense [B, A] of all actions, where the head can enumerate them. Losses are per sample and to be minimised;
the training loop reduces once, outside.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..distributions import FSoftargmaxCategorical, clamped_log_prob
from ..distributions.base import LOG_FLOOR

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


def log_ratio(new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> Tensor:
    """log pi_new - log pi_old at the sampled actions [B], or at all of them [B, A] when the advantages are dense.

    Where a sparse head gives zero, the log is clamped at log 1e-12, with zero gradient below.

    Raises:
        ValueError: for dense advantages and a head whose actions can't be enumerated.
    """
    if is_dense(new, advantages):
        return _all_log_probs(new) - _all_log_probs(old)
    return sampled_log_ratio(new, old, actions)


def sampled_log_ratio(new: Distribution, old: Distribution, actions: Tensor) -> Tensor:
    """log pi_new - log pi_old at the sampled actions, [B]."""
    return clamped_log_prob(new, actions) - clamped_log_prob(old, actions)


def expected(values: Tensor, old: Distribution) -> Tensor:
    """Values at the sampled actions [B] as they are; values at all actions [B, A] averaged under pi_old, [B]."""
    if is_dense(old, values):
        return (enumerable(old).probs * values).sum(-1)
    return values


def is_dense(policy: Distribution, values: Tensor) -> bool:
    """Whether `values` hold one number per action rather than one per sample."""
    return values.dim() > len(policy.batch_shape)


def enumerable(policy: Distribution) -> FSoftargmaxCategorical:
    """The policy as a categorical.

    Raises:
        ValueError: if its actions can't be enumerated.
    """
    if not isinstance(policy, FSoftargmaxCategorical):
        raise ValueError(
            f"advantages: dense [B, A] ones need a head with enumerable actions, not {type(policy).__name__}"
        )
    return policy


def _all_log_probs(policy: Distribution) -> Tensor:
    categorical = enumerable(policy)
    keeps_support = categorical.full_support and categorical.mask is None
    return categorical.log_probs if keeps_support else categorical.log_probs.clamp_min(LOG_FLOOR)


def sampled_kl_old_new(log_ratio: Tensor) -> Tensor:
    """KL(old || new) estimated on samples of old, [B]: r - 1 - log r, non-negative, low variance (Schulman's k3)."""
    return torch.expm1(log_ratio) - log_ratio


def sampled_kl_new_old(log_ratio: Tensor) -> Tensor:
    """KL(new || old) estimated on samples of old, [B]: r log r - r + 1, non-negative."""
    return torch.exp(log_ratio) * log_ratio - torch.expm1(log_ratio)
