"""Softmax policy mirror ascent: a step in the logits, projected back by a forward KL."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from ..suggest import check_choice
from .base import PolicyLoss, ScalarLike, expected, is_dense, log_ratio, sampled_kl_old_new


@dataclass(frozen=True)
class SPMA:
    """The mirror-ascent target pi_old (1 + eta A), matched by cross-entropy (arXiv 2411.12042).

    `form="kl"`, as released: -A log r + KL(pi_old || pi_new) / eta, r = pi_new(a|s) / pi_old(a|s).
    `form="target"`: -w log r / eta with the weight w = max(0, 1 + eta A); a dense target that is cut at 0 is
    renormalised.
    Both have the same expectation where 1 + eta A >= 0; where it is negative the second ignores the sample (the share
    of such samples is `negative_target`). `kl="sampled"` takes the released estimator r - 1 - log r in place of the
    closed form. A single sample is then bounded below iff 1 + eta A >= 0; by the closed form iff pi_old(a) >= eta |A|.
    """

    eta: ScalarLike
    form: str = "kl"
    kl: str = "exact"

    def __post_init__(self) -> None:
        check_choice("form", self.form, ("kl", "target"))
        check_choice("kl", self.kl, ("exact", "sampled"))

    def __call__(self, new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> PolicyLoss:
        """Loss [B] for advantages [B] or [B, A]."""
        log_ratios = log_ratio(new, old, actions, advantages)
        estimate = expected(sampled_kl_old_new(log_ratios), old)
        kl = kl_divergence(old, new) if self.kl == "exact" else estimate
        if self.form == "kl":
            loss = expected(-advantages * log_ratios, old) + kl / self.eta
        else:
            loss = expected(-self._weights(old, advantages) * log_ratios, old) / self.eta
        metrics = {
            "approx_kl": estimate.detach(),
            "kl": kl.detach(),
            "negative_target": expected((1 + self.eta * advantages < 0).to(advantages.dtype), old),
        }
        return PolicyLoss(loss, metrics)

    def _weights(self, old: Distribution, advantages: Tensor) -> Tensor:
        weights = 1 + self.eta * advantages
        if not is_dense(old, advantages):
            return weights.clamp(min=0)
        total = expected(weights.clamp(min=0), old).unsqueeze(-1)
        return torch.where((weights < 0).any(-1, keepdim=True), weights.clamp(min=0) / total, weights)
