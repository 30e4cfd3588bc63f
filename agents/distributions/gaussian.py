"""The diagonal Gaussian, numerically SB3's DiagGaussianDistribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl
from torch.types import _size

from ..geometry import KL, Divergence, Hellinger, ReverseKL, Tsallis
from .base import NO_SHAPE, ActionDistribution

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class DiagonalGaussian(ActionDistribution):
    """Independent normals with mean [B, D] and log standard deviation [B, D] or [D]; actions [B, D].

    Raises ValueError for shapes that do not fit and for a NaN in the mean.
    """

    has_rsample = True

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        if log_std.shape not in (mean.shape, mean.shape[-1:]):
            raise ValueError(f"log_std of shape {tuple(log_std.shape)}: expected {tuple(mean.shape)}")
        if not torch.compiler.is_compiling() and mean.detach().sum().isnan():
            raise ValueError("mean: contains NaN")
        self.loc, self.log_std = mean, log_std.expand(mean.shape)
        self.scale = self.log_std.exp()
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def rsample(self, sample_shape: _size = NO_SHAPE) -> Tensor:
        """Reparametrised actions [*sample_shape, B, D]."""
        shape = self._extended_shape(sample_shape)
        noise = torch.normal(self.loc.new_zeros(shape), self.loc.new_ones(shape))  # draws as torch's Normal does
        return self.loc + noise * self.scale

    def sample(self, sample_shape: _size = NO_SHAPE) -> Tensor:
        """Actions [*sample_shape, B, D]."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log density [B] of actions [B, D]."""
        return (-(value - self.loc).square() / (2 * self.variance) - self.scale.log() - HALF_LOG_2PI).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy [B] in nats."""
        return (0.5 + HALF_LOG_2PI + self.scale.log()).sum(-1)

    def f_divergence(self, divergence: Divergence, reference: Tensor | Distribution | None = None) -> Tensor:
        """D_f(self || reference) [B] for a Gaussian reference: KL both ways, Hellinger, Tsallis with 0 < alpha < 1.

        Raises:
            ValueError: without a reference (there is no uniform one on the line), or for another divergence.
        """
        if not isinstance(reference, DiagonalGaussian):
            raise ValueError(f"f_divergence: a Gaussian has no uniform reference for the {divergence} divergence")
        if isinstance(divergence, KL):
            return _kl_gaussian(self, reference)
        if isinstance(divergence, ReverseKL):
            return _kl_gaussian(reference, self)
        if isinstance(divergence, Hellinger):
            return 2 - 2 * self._log_affinity(reference, 0.5).exp()
        if isinstance(divergence, Tsallis) and 0 < divergence.alpha < 1:
            alpha = divergence.alpha
            return torch.expm1(self._log_affinity(reference, alpha)) / (alpha * (alpha - 1))
        raise ValueError(f"f_divergence: between Gaussians the {divergence} divergence has no finite closed form")

    def _log_affinity(self, other: DiagonalGaussian, alpha: float) -> Tensor:
        """log of the integral of p^alpha q^(1 - alpha), [B]."""
        mixed = alpha * other.scale.square() + (1 - alpha) * self.scale.square()
        scales = (1 - alpha) * self.log_std + alpha * other.log_std - 0.5 * mixed.log()
        return (scales - 0.5 * alpha * (1 - alpha) * (self.loc - other.loc).square() / mixed).sum(-1)

    def fenchel_young(self, target: Distribution) -> Tensor:
        """KL(target || self) [B] for a Gaussian target: the Fenchel-Young loss in the natural parameters."""
        if not isinstance(target, DiagonalGaussian):
            raise ValueError(f"target: expected a DiagonalGaussian, got {type(target).__name__}")
        return _kl_gaussian(target, self)

    def diagnostics(self) -> dict[str, Tensor]:
        """std [B], the mean over dimensions."""
        return {"std": self.scale.detach().mean(-1)}

    def expand(self, batch_shape: _size, _instance: object = None) -> DiagonalGaussian:
        """The same distribution over a larger batch shape."""
        shape = torch.Size(batch_shape) + self.event_shape
        return DiagonalGaussian(self.loc.expand(shape), self.log_std.expand(shape))


@register_kl(DiagonalGaussian, DiagonalGaussian)
def _kl_gaussian(p: DiagonalGaussian, q: DiagonalGaussian) -> Tensor:
    """KL(p || q) [B]."""
    variance_ratio = (p.scale / q.scale).square()
    distance = ((p.loc - q.loc) / q.scale).square()
    return (0.5 * (variance_ratio + distance - 1 - variance_ratio.log())).sum(-1)
