"""The plain policy gradient."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.distributions import Distribution

from ..distributions import clamped_log_prob
from .base import PolicyLoss, enumerable, expected, is_dense, log_ratio, sampled_kl_old_new


@dataclass(frozen=True)
class PolicyGradient:
    """-A log pi(a|s), REINFORCE and A2C (Williams 1992); dense: -<pi, A>, whose gradient is its expectation."""

    def __call__(self, new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> PolicyLoss:
        """Loss [B] for advantages [B] or [B, A]."""
        log_ratios = log_ratio(new, old, actions, advantages)
        if is_dense(new, advantages):
            loss = -(enumerable(new).probs * advantages).sum(-1)
        else:
            loss = -advantages * clamped_log_prob(new, actions)
        return PolicyLoss(loss, {"approx_kl": expected(sampled_kl_old_new(log_ratios.detach()), old)})
