"""The q-Gaussian: the Tsallis f-softargmax of a quadratic score on the line, one per action dimension."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Beta, StudentT, register_kl

from .base import ActionDistribution

NODES = 129  # of the trapezoid rule for KL; the transformed integrand decays and is analytic, so it converges fast
TAIL = 23.0  # the rule stops where the density has fallen to exp(-TAIL)


class QGaussian(ActionDistribution):
    """Independent q-Gaussians with location and log scale [B, D]; t = (a - loc) / scale.

    0 < alpha < 1: p(t) ~ (1 + t^2 / nu)^(-(nu + 1) / 2), Student-t with nu = 2 / (1 - alpha) - 1; the variance is
    finite iff alpha > 1/3. alpha > 1: p(t) ~ (1 - t^2 / (2 m + 1))_+^m with m = 1 / (alpha - 1), on compact support.
    Both tend to the normal for alpha -> 1. The scale is not the standard deviation; `log_prob` is -inf off the support.

    Raises:
        ValueError: for alpha <= 0 or alpha = 1 (the Gaussian), and shapes that don't fit.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, alpha: float) -> None:
        if not (0 < alpha < math.inf and alpha != 1):
            raise ValueError(f"alpha={alpha!r}: must be positive and not 1 (that is the Gaussian)")
        if log_scale.shape not in (loc.shape, loc.shape[-1:]):
            raise ValueError(f"log_scale of shape {tuple(log_scale.shape)}: expected {tuple(loc.shape)}")
        self.loc, self.log_scale, self.alpha = loc, log_scale.expand(loc.shape), alpha
        self.scale = self.log_scale.exp()
        self.full_support = alpha < 1
        self._student = StudentT(loc.new_tensor(self.nu), validate_args=False) if alpha < 1 else None
        exponent = loc.new_tensor(self.m + 1) if alpha > 1 else None
        self._beta = None if exponent is None else Beta(exponent, exponent, validate_args=False)
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def nu(self) -> float:
        """Degrees of freedom for alpha < 1."""
        return 2 / (1 - self.alpha) - 1

    @property
    def m(self) -> float:
        """The exponent for alpha > 1."""
        return 1 / (self.alpha - 1)

    @property
    def radius(self) -> float:
        """Half the width of the support in scales, for alpha > 1."""
        return math.sqrt(2 * self.m + 1)

    @property
    def mean(self) -> Tensor:
        """The location; for alpha < 1 a mean exists since nu > 1."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The location [B, D]."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """[B, D]; infinite for alpha <= 1/3."""
        if self.alpha > 1:
            return self.scale.square() * (2 * self.m + 1) / (2 * self.m + 3)
        return self.scale.square() * (self.nu / (self.nu - 2) if self.nu > 2 else math.inf)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # type: ignore[override]  # noqa: B008
        """Reparametrised actions [*sample_shape, B, D]."""
        shape = self._extended_shape(sample_shape)
        if self._student is not None:
            t = self._student.rsample(shape)
        else:
            assert self._beta is not None
            t = self.radius * (2 * self._beta.rsample(shape) - 1)
        return self.loc + self.scale * t

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # type: ignore[override]  # noqa: B008
        """Actions [*sample_shape, B, D]."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log density [B] of actions [B, D]; -inf off the support."""
        return (self._log_density((value - self.loc) / self.scale) - self.log_scale).sum(-1)

    def clamped_log_prob(self, actions: Tensor) -> Tensor:
        """As `log_prob`; off the support log 1e-12 per dimension without gradient. Densities inside are not clamped."""
        log_density = self._log_density((actions - self.loc) / self.scale) - self.log_scale
        return torch.where(log_density == -math.inf, math.log(1e-12), log_density).sum(-1)

    def _log_density(self, t: Tensor) -> Tensor:
        """log p(t) of the standard q-Gaussian."""
        if self._student is not None:
            return self._student.log_prob(t)
        inside = 1 - (t / self.radius).square()
        # log B(1/2, m + 1) is the logarithm of the integral of (1 - x^2)^m over [-1, 1]
        norm = math.lgamma(0.5) + math.lgamma(self.m + 1) - math.lgamma(self.m + 1.5) + math.log(self.radius)
        safe = torch.where(inside > 0, inside, 1.0)
        return torch.where(inside > 0, self.m * safe.log() - norm, -math.inf)

    def entropy(self) -> Tensor:
        """Differential entropy [B] in nats."""
        if self._student is not None:
            standard = self._student.entropy()
        else:
            assert self._beta is not None
            standard = self._beta.entropy() + math.log(2 * self.radius)
        return (standard + self.log_scale).sum(-1)

    def diagnostics(self) -> dict[str, Tensor]:
        """scale [B], the mean over dimensions."""
        return {"scale": self.scale.detach().mean(-1)}

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> QGaussian:  # type: ignore[override]
        """The same distribution over a larger batch shape."""
        shape = torch.Size(batch_shape) + self.event_shape
        return QGaussian(self.loc.expand(shape), self.log_scale.expand(shape), self.alpha)


@register_kl(QGaussian, QGaussian)
def _kl_q_gaussian(p: QGaussian, q: QGaussian) -> Tensor:
    """KL(p || q) [B] for alpha < 1, by a trapezoid rule in x with t = sqrt(nu) sinh x.

    Its error is below 1e-6 for scales within a factor of 2, as between two updates, and 1e-2 or more beyond 10.

    Raises:
        ValueError: on compact supports, which may differ, so that the KL may be infinite.
    """
    if p.alpha > 1 or q.alpha > 1:
        raise ValueError(
            f"KL: supports are compact for alpha={max(p.alpha, q.alpha):g} > 1, so that it may be infinite"
        )
    # p(t) dt is proportional to cosh(x)^(-nu) dx
    reach = math.acosh(math.exp(TAIL / p.nu))
    x = torch.linspace(-reach, reach, NODES, dtype=p.loc.dtype, device=p.loc.device)
    weights = torch.softmax(-p.nu * torch.cosh(x).log(), dim=0)
    t = math.sqrt(p.nu) * torch.sinh(x)
    actions = p.loc.unsqueeze(-1) + p.scale.unsqueeze(-1) * t
    log_p = p._log_density(t) - p.log_scale.unsqueeze(-1)
    standard = (actions - q.loc.unsqueeze(-1)) / q.scale.unsqueeze(-1)
    log_q = q._log_density(standard) - q.log_scale.unsqueeze(-1)
    return (weights * (log_p - log_q)).sum(-1).sum(-1)
