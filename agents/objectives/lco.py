"""Logits-convex optimisation: match the policy to a closed-form target by a loss that is convex in the logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional

from ..distributions import FSoftargmaxCategorical, clamped_log_prob
from ..suggest import check_choice
from .base import PolicyLoss, ScalarLike, sampled_kl_old_new, sampled_log_ratio


@dataclass(frozen=True)
class LCO:
    """The distance to the target with logits z* = z_old + A / beta (arXiv 2603.00963, Eqs. 7-11).

    `match="kld"`: the head's Fenchel-Young loss, KL(pi* || pi) for softmax (Eq. 10); `"mse"`: mean over actions of
    (z - z*)^2 (Eq. 8); `"log_cosh"`: mean of log cosh(z - z*) (Eq. 9). Advantages [B] are the sparse estimator: the
    target moves the sampled action's logit only (Eq. 11). Targets are frozen at the behaviour scores of all actions.
    `beta_negative` takes the place of beta where A <= 0. On a head without scores (Gaussian), "kld" is the likelihood
    of the sampled actions, weighted by exp(A / beta) normalised over the batch: convex in the natural parameters.

    Raises:
        ValueError: for "mse" or "log_cosh" on a head without scores.
    """

    beta: ScalarLike
    match: str = "kld"
    beta_negative: ScalarLike | None = None

    def __post_init__(self) -> None:
        check_choice("match", self.match, ("kld", "mse", "log_cosh"))

    def __call__(self, new: Distribution, old: Distribution, actions: Tensor, advantages: Tensor) -> PolicyLoss:
        """Loss [B] for advantages [B] (sparse) or [B, A] (dense)."""
        shift = advantages / self.beta
        if self.beta_negative is not None:
            shift = torch.where(advantages > 0, shift, advantages / self.beta_negative)
        metrics = {"approx_kl": sampled_kl_old_new(sampled_log_ratio(new, old, actions).detach())}
        if not hasattr(old, "tilted"):
            return PolicyLoss(self._weighted_likelihood(new, actions, shift), metrics)
        target = old.tilted(shift, actions)
        if self.match == "kld":
            return PolicyLoss(new.fenchel_young(target) / new.temperature, metrics)  # type: ignore[attr-defined]
        distance = torch.square if self.match == "mse" else _log_cosh
        factors = zip(_scores(new), _scores(target), strict=True)
        return PolicyLoss(sum(distance(z - z_star.detach()).mean(-1) for z, z_star in factors), metrics)  # type: ignore[arg-type]

    def _weighted_likelihood(self, new: Distribution, actions: Tensor, shift: Tensor) -> Tensor:
        if self.match != "kld":
            raise ValueError(
                f"match={self.match!r}: {type(new).__name__} has no scores; use match='kld' or a binned head"
            )
        weights = torch.softmax(shift, dim=0) * len(shift)
        return -weights * clamped_log_prob(new, actions)


def _scores(policy: Distribution) -> tuple[Tensor, ...]:
    """The scores of each factor, [B, A] each."""
    return (policy.scores,) if isinstance(policy, FSoftargmaxCategorical) else policy.scores  # type: ignore[attr-defined]


def _log_cosh(x: Tensor) -> Tensor:
    """log cosh x without overflow: |x| + softplus(-2 |x|) - log 2."""
    return x.abs() + functional.softplus(-2 * x.abs()) - math.log(2)
