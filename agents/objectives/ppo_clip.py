"""PPO's clipped surrogate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from .base import PolicyLoss, ScalarLike, expected, log_ratio, sampled_kl_old_new


@dataclass(frozen=True)
class PPOClip:
    """-min(r A, clip(r, 1 - clip_range, 1 + clip_range_high) A), with r = pi_new(a|s) / pi_old(a|s).

    Schulman et al. 2017, Eq. 7; the asymmetric interval is that of arXiv 2512.16565. `clip_range_high=None`: symmetric.
    """

    clip_range: ScalarLike = 0.2
    clip_range_high: ScalarLike | None = None

    def __call__(self, new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> PolicyLoss:
        """Loss [B] for advantages [B] or [B, A]."""
        log_ratios = log_ratio(new, old, actions, advantages)
        ratio = torch.exp(log_ratios)
        high = self.clip_range if self.clip_range_high is None else self.clip_range_high
        clipped = ratio.clamp(min=1 - self.clip_range).clamp(max=1 + high)
        loss = -torch.min(ratio * advantages, clipped * advantages)
        metrics = {
            "approx_kl": expected(sampled_kl_old_new(log_ratios.detach()), old),
            "clip_fraction": expected((clipped != ratio).to(ratio.dtype), old),
        }
        return PolicyLoss(expected(loss, old), metrics)
