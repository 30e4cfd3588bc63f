"""Softmax policy mirror ascent: a step in the logits, projected back by a forward KL."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from .base import PolicyLoss, ScalarLike, log_ratio, sampled_kl_old_new


@dataclass(frozen=True)
class SPMA:
    """-A log r + KL(pi_old || pi_new) / eta, with r = pi_new(a|s) / pi_old(a|s).

    In expectation over a ~ pi_old this is the cross-entropy to the mirror-ascent target pi_old (1 + eta A), divided by
    eta (arXiv 2411.12042, Section 4 and the released loss). `kl="exact"` takes the closed-form KL over all actions;
    `kl="sampled"` the estimator r - 1 - log r of the released code. A sample with 1 + eta A < 0 pushes its log-ratio to
    minus infinity: the share of such samples is the metric `negative_target`.
    """

    eta: ScalarLike
    kl: str = "exact"

    def __post_init__(self) -> None:
        if self.kl not in ("exact", "sampled"):
            raise ValueError(f"kl={self.kl!r}: must be 'exact' or 'sampled'")

    def __call__(self, new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> PolicyLoss:
        """Loss [B] for advantages [B]."""
        log_ratios = log_ratio(new, old, actions)
        estimate = sampled_kl_old_new(log_ratios)
        kl = kl_divergence(old, new) if self.kl == "exact" else estimate
        metrics = {
            "approx_kl": estimate.detach(),
            "kl": kl.detach(),
            "negative_target": (1 + self.eta * advantages < 0).to(advantages.dtype),
        }
        return PolicyLoss(-advantages * log_ratios + kl / self.eta, metrics)
