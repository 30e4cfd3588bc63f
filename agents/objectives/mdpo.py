"""Mirror descent policy optimisation and the trust-region surrogates: a ratio, and a KL one way or the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from ..suggest import check_choice
from .base import (
    PolicyLoss,
    ScalarLike,
    enumerable,
    expected,
    is_dense,
    log_ratio,
    sampled_kl_new_old,
    sampled_kl_old_new,
)


@dataclass(frozen=True)
class MDPO:
    """-r A + KL(pi_new || pi_old) / eta; dense: -<pi_new, A> + KL / eta (arXiv 2005.09814, Eq. 3 with t_k = eta).

    `kl="sampled"` estimates the KL on old's samples by r log r - r + 1.
    """

    eta: ScalarLike
    kl: str = "exact"

    def __post_init__(self) -> None:
        check_choice("kl", self.kl, ("exact", "sampled"))

    def __call__(self, new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> PolicyLoss:
        """Loss [B] for advantages [B] or [B, A]."""
        log_ratios = log_ratio(new, old, actions, advantages)
        kl = kl_divergence(new, old) if self.kl == "exact" else expected(sampled_kl_new_old(log_ratios), old)
        metrics = {"approx_kl": expected(sampled_kl_old_new(log_ratios.detach()), old), "kl": kl.detach()}
        return PolicyLoss(_surrogate(new, log_ratios, advantages) + kl / self.eta, metrics)


@dataclass(frozen=True)
class TrustRegion:
    """TRPO's surrogate -r A, whose trust region is the step's business (Schulman et al. 2015, Eq. 14).

    With `eta`, the regularised -r A + KL(pi_old || pi_new) / eta (TRPO-R of arXiv 2411.12042).
    """

    eta: ScalarLike | None = None

    def __call__(self, new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> PolicyLoss:
        """Loss [B] for advantages [B] or [B, A]."""
        log_ratios = log_ratio(new, old, actions, advantages)
        loss = _surrogate(new, log_ratios, advantages)
        metrics = {"approx_kl": expected(sampled_kl_old_new(log_ratios.detach()), old)}
        if self.eta is None:
            return PolicyLoss(loss, metrics)
        kl = kl_divergence(old, new)
        return PolicyLoss(loss + kl / self.eta, metrics | {"kl": kl.detach()})


def _surrogate(new: Distribution, log_ratios: Tensor, advantages: Tensor) -> Tensor:
    """-r A at the sampled actions, -<pi_new, A> over all of them."""
    if is_dense(new, advantages):
        return -(enumerable(new).probs * advantages).sum(-1)
    return -torch.exp(log_ratios) * advantages
