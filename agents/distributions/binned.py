"""Continuous actions on a grid: one categorical over K evenly spaced values per dimension."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl
from torch.nn import functional

from ..geometry import KL, Divergence
from .base import ActionDistribution
from .product import ProductCategorical


class BinnedBox(ActionDistribution):
    """D independent f-softargmax factors over n_bins values from low to high (ends included); actions [B, D].

    Logits [B, D * n_bins]. Probabilities are those of bins, so log_prob and entropy are of a discrete distribution:
    losses on them are exact, comparisons with densities are not. `ordinal`: the logit of bin i is
    sum_{j <= i} log sigmoid(z_j) + sum_{j > i} log(1 - sigmoid(z_j)), so that neighbours share evidence
    (Tang and Agrawal, 2020).
    """

    def __init__(
        self,
        logits: Tensor,
        low: Tensor,
        high: Tensor,
        n_bins: int,
        divergence: Divergence = KL(),  # noqa: B008 - frozen
        temperature: float = 1.0,
        ordinal: bool = False,
        validate_args: bool = True,
    ) -> None:
        if n_bins < 2:
            raise ValueError(f"n_bins={n_bins}: must be at least 2")
        sizes = (n_bins,) * len(low)
        if ordinal:
            logits = _ordinal(logits.unflatten(-1, (len(low), n_bins))).flatten(-2)
        self._set(ProductCategorical(logits, sizes, divergence, temperature, None, validate_args), low, high)

    def _set(self, bins: ProductCategorical, low: Tensor, high: Tensor) -> None:
        self.bins, self.low, self.high = bins, low, high
        self.n_bins, self.temperature, self.divergence = bins.sizes[0], bins.temperature, bins.divergence
        self.full_support = bins.full_support
        Distribution.__init__(self, bins.batch_shape, bins.event_shape, validate_args=False)

    def values(self, index: Tensor) -> Tensor:
        """The actions [B, D] of bin indices [B, D]."""
        return self.low + index.to(self.low.dtype) * ((self.high - self.low) / (self.n_bins - 1))

    def index(self, actions: Tensor) -> Tensor:
        """The bins [B, D] nearest to actions [B, D]."""
        position = (actions - self.low) * ((self.n_bins - 1) / (self.high - self.low))
        return position.round().long().clamp(0, self.n_bins - 1)

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """The logits of each dimension, [B, n_bins] each."""
        return self.bins.scores

    @property
    def mode(self) -> Tensor:
        """The most probable value of each dimension, [B, D]."""
        return self.values(self.bins.mode)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # type: ignore[override]  # noqa: B008
        """Actions [*sample_shape, B, D]."""
        return self.values(self.bins.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """log of the bins' probability [B] at actions [B, D]."""
        return self.bins.log_prob(self.index(value))

    def clamped_log_prob(self, actions: Tensor) -> Tensor:
        """As `log_prob`, clamped for losses."""
        return self.bins.clamped_log_prob(self.index(actions))

    def entropy(self) -> Tensor:
        """Entropy of the bins [B] in nats."""
        return self.bins.entropy()

    def f_divergence(self, divergence: Divergence, reference: Tensor | Distribution | None = None) -> Tensor:
        """The sum over dimensions of D_f(pi_d || reference_d) [B]; another grid as reference, None: uniform."""
        return self.bins.f_divergence(divergence, reference.bins if isinstance(reference, BinnedBox) else reference)

    def divergence_to_reference(self) -> Tensor:
        """The sum over dimensions of D_f(pi_d || uniform) with the head's own generator, [B]."""
        return self.bins.divergence_to_reference()

    def tilted(self, advantages: Tensor, actions: Tensor | None = None) -> BinnedBox:
        """Each dimension's sampled bin raised by temperature * advantage [B]: a surrogate, dimension by dimension."""
        return self._like(self.bins.tilted(advantages, None if actions is None else self.index(actions)))

    def fenchel_young(self, target: Distribution) -> Tensor:
        """The sum of the dimensions' Fenchel-Young losses, [B]."""
        if not isinstance(target, BinnedBox):
            raise ValueError(f"target: expected a BinnedBox, got {type(target).__name__}")
        return self.bins.fenchel_young(target.bins)

    def diagnostics(self) -> dict[str, Tensor]:
        """As the product's."""
        return self.bins.diagnostics()

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> BinnedBox:  # type: ignore[override]
        """The same distribution over a larger batch shape."""
        return self._like(self.bins.expand(batch_shape))

    def _like(self, bins: ProductCategorical) -> BinnedBox:
        other = BinnedBox.__new__(BinnedBox)
        other._set(bins, self.low, self.high)
        return other


@register_kl(BinnedBox, BinnedBox)
def _kl_binned(p: BinnedBox, q: BinnedBox) -> Tensor:
    """KL(p || q) [B], the sum over dimensions."""
    return torch.distributions.kl_divergence(p.bins, q.bins)


def _ordinal(z: Tensor) -> Tensor:
    """[..., n] -> [..., n]: evidence for 'at least bin j' up to i, against it beyond."""
    up, down = functional.logsigmoid(z), functional.logsigmoid(-z)
    return up.cumsum(-1) + down.sum(-1, keepdim=True) - down.cumsum(-1)
