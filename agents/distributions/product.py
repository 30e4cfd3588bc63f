"""Independent categorical factors: MultiDiscrete and MultiBinary actions, all factors in one batched operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl

from ..geometry import KL, Divergence
from .base import ActionDistribution
from .categorical import FSoftargmaxCategorical


class ProductCategorical(ActionDistribution):
    """K independent f-softargmax factors with `sizes` actions; logits [B, sum(sizes)], actions [B, K].

    Factors of unequal size are padded to the largest and masked, which leaves each reference uniform over the factor's
    own actions. `mask` [B, sum(sizes)] (True: valid) restricts them further. Every quantity is the sum over factors.

    Raises:
        ValueError: as FSoftargmaxCategorical, and for logits that don't fit the sizes.
    """

    def __init__(
        self,
        logits: Tensor,
        sizes: Sequence[int],
        divergence: Divergence = KL(),  # noqa: B008 - frozen
        temperature: float = 1.0,
        mask: Tensor | None = None,
        validate_args: bool = True,
    ) -> None:
        self.sizes = tuple(sizes)
        for name, tensor in (("logits", logits), ("mask", mask)):
            if tensor is not None and tensor.shape[-1] != sum(self.sizes):
                raise ValueError(
                    f"{name} of shape {tuple(tensor.shape)}: the factors' sizes {self.sizes} don't add up to it"
                )
        valid = _valid(self.sizes).to(logits.device) if len({*self.sizes}) > 1 else None
        if mask is not None:
            own = _padded(mask.to(logits.device, torch.bool).expand(logits.shape), self.sizes, False)
            valid = own if valid is None else own & valid
        padded = _padded(logits, self.sizes, 0.0)
        mask = None if valid is None else valid.expand(padded.shape)
        self._set(FSoftargmaxCategorical(padded, divergence, temperature, None, mask, validate_args))

    def _set(self, factors: FSoftargmaxCategorical) -> None:
        self.factors = factors
        self.temperature, self.divergence = factors.temperature, factors.divergence
        self.full_support = factors.full_support
        shape = factors.batch_shape
        Distribution.__init__(self, shape[:-1], shape[-1:], validate_args=False)

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """The raw logits of each factor, [B, size] each."""
        return tuple(self.factors.scores[..., k, :size] for k, size in enumerate(self.sizes))

    @property
    def mode(self) -> Tensor:
        """The most probable action of each factor, [B, K]."""
        return self.factors.mode

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # type: ignore[override]  # noqa: B008
        """Actions [*sample_shape, B, K], int64."""
        return self.factors.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log pi(a|s) [B] of actions [B, K]."""
        return self.factors.log_prob(value).sum(-1)

    def clamped_log_prob(self, actions: Tensor) -> Tensor:
        """As `log_prob`, each factor clamped for losses."""
        return self.factors.clamped_log_prob(actions).sum(-1)

    def entropy(self) -> Tensor:
        """Shannon entropy [B] in nats."""
        return self.factors.entropy().sum(-1)

    def f_divergence(self, divergence: Divergence, reference: Tensor | Distribution | None = None) -> Tensor:
        """The sum over factors of D_f(pi_k || reference_k), [B]; another product as reference, None: uniform."""
        if isinstance(reference, ProductCategorical):
            reference = reference.factors
        return self.factors.f_divergence(divergence, reference).sum(-1)

    def divergence_to_reference(self) -> Tensor:
        """The sum over factors of D_f(pi_k || uniform) with the head's own generator, [B]."""
        return self.factors.divergence_to_reference().sum(-1)

    def tilted(self, advantages: Tensor, actions: Tensor | None = None) -> ProductCategorical:
        """Each factor's score of its sampled action raised by temperature * advantage [B]; actions [B, K]."""
        if actions is None or advantages.dim() != len(self.batch_shape):
            raise ValueError("advantages: the factors of a product head can't be enumerated; give [B] and the actions")
        return self._like(self.factors.tilted(advantages.unsqueeze(-1).expand(actions.shape), actions))

    def fenchel_young(self, target: Distribution) -> Tensor:
        """The sum of the factors' Fenchel-Young losses, [B]."""
        if not isinstance(target, ProductCategorical):
            raise ValueError(f"target: expected a ProductCategorical, got {type(target).__name__}")
        return self.factors.fenchel_young(target.factors).sum(-1)

    def diagnostics(self) -> dict[str, Tensor]:
        """As the categorical's: the smallest probability of any factor, mean support size and logit norm."""
        values = self.factors.diagnostics()
        return {name: value.amin(-1) if name == "min_prob" else value.mean(-1) for name, value in values.items()}

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> ProductCategorical:  # type: ignore[override]
        """The same distribution over a larger batch shape."""
        return self._like(self.factors.expand(torch.Size(batch_shape) + self.event_shape))

    def _like(self, factors: FSoftargmaxCategorical) -> ProductCategorical:
        other = ProductCategorical.__new__(ProductCategorical)
        other.sizes = self.sizes
        other._set(factors)
        return other


@register_kl(ProductCategorical, ProductCategorical)
def _kl_product(p: ProductCategorical, q: ProductCategorical) -> Tensor:
    """KL(p || q) [B], the sum over factors."""
    return torch.distributions.kl_divergence(p.factors, q.factors).sum(-1)


def _padded(values: Tensor, sizes: tuple[int, ...], fill: float | bool) -> Tensor:
    """[..., sum(sizes)] as [..., K, max(sizes)], `fill` behind the end of shorter factors."""
    shape = (*values.shape[:-1], len(sizes), max(sizes))
    if len({*sizes}) == 1:
        return values.reshape(shape)
    filled = torch.cat([values, values.new_full((*values.shape[:-1], 1), fill)], dim=-1)
    return filled.index_select(-1, _positions(sizes).to(values.device)).reshape(shape)


@lru_cache(maxsize=64)
def _positions(sizes: tuple[int, ...]) -> Tensor:
    """Where each padded entry comes from; sum(sizes) is the filler."""
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return torch.tensor(
        [s + i if i < n else sum(sizes) for s, n in zip(starts, sizes, strict=True) for i in range(max(sizes))]
    )


@lru_cache(maxsize=64)
def _valid(sizes: tuple[int, ...]) -> Tensor:
    """[K, max(sizes)], True at the factors' own actions."""
    return torch.arange(max(sizes)) < torch.tensor(sizes).unsqueeze(-1)
