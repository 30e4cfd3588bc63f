"""The f-divergences, one small frozen object each, and their names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..suggest import closest
from .generator import Divergence


@dataclass(frozen=True)
class KL(Divergence):
    """f(u) = u log u, so D_f = KL(policy || reference); its softargmax is the softmax."""

    name: ClassVar[str] = "kl"

    @property
    def tsallis_form(self) -> tuple[float, float]:
        return 1.0, 1.0

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u)

    def f_prime(self, u: Tensor) -> Tensor:
        return 1.0 + u.log()

    def f_second(self, u: Tensor) -> Tensor:
        return u.reciprocal()

    def f_prime_inverse(self, y: Tensor) -> Tensor:
        return (y - 1.0).exp()

    def conjugate(self, y: Tensor) -> Tensor:
        return (y - 1.0).exp()


@dataclass(frozen=True)
class ReverseKL(Divergence):
    """f(u) = -log u, so D_f = KL(reference || policy). Up to a linear term the limit of Tsallis for alpha -> 0."""

    name: ClassVar[str] = "reverse_kl"

    @property
    def tsallis_form(self) -> tuple[float, float]:
        return 0.0, 1.0

    def f(self, u: Tensor) -> Tensor:
        return -u.log()

    def f_prime(self, u: Tensor) -> Tensor:
        return -u.reciprocal()

    def f_second(self, u: Tensor) -> Tensor:
        return u.reciprocal().square()

    def f_prime_inverse(self, y: Tensor) -> Tensor:
        return (-y).clamp_min(0.0).reciprocal()

    def conjugate(self, y: Tensor) -> Tensor:
        return -1.0 - (-y).clamp_min(0.0).log()


@dataclass(frozen=True)
class Tsallis(Divergence):
    """f(u) = (u^α - α u + α - 1) / (α (α - 1)), α > 0; α -> 1 is u log u - u + 1, α > 1 gives sparse policies.

    Normalised so that f'(1) = 0 and f''(1) = 1; α = 1/2 is twice Hellinger, α = 2 half of χ².
    """

    alpha: float
    name: ClassVar[str] = "tsallis"

    def __post_init__(self) -> None:
        if not (0.0 < self.alpha < math.inf):
            raise ValueError(f"alpha={self.alpha!r}: the Tsallis index must be positive and finite")

    @property
    def tsallis_form(self) -> tuple[float, float]:
        return self.alpha, 1.0

    def f(self, u: Tensor) -> Tensor:
        a = self.alpha
        if a == 1.0:
            return torch.xlogy(u, u) - (u - 1.0)
        log_u = u.log()
        if a <= 0.5:  # each of the two forms keeps its digits towards one of the limits α -> 0, α -> 1
            return (torch.expm1(a * log_u) / a - (u - 1.0)) / (a - 1.0)
        positive = u > 0
        deformed_log = torch.expm1((a - 1.0) * torch.where(positive, log_u, 0.0)) / (a - 1.0)
        return (torch.where(positive, u * deformed_log, 0.0) - (u - 1.0)) / a

    def f_prime(self, u: Tensor) -> Tensor:
        a = self.alpha
        return u.log() if a == 1.0 else torch.expm1((a - 1.0) * u.log()) / (a - 1.0)

    def f_second(self, u: Tensor) -> Tensor:
        return u.pow(self.alpha - 2.0)

    def f_prime_inverse(self, y: Tensor) -> Tensor:
        a = self.alpha
        return y.exp() if a == 1.0 else (torch.log1p(((a - 1.0) * y).clamp_min(-1.0)) / (a - 1.0)).exp()

    def conjugate(self, y: Tensor) -> Tensor:
        a = self.alpha
        if a == 1.0:
            return torch.expm1(y)
        return torch.expm1(a / (a - 1.0) * torch.log1p(((a - 1.0) * y).clamp_min(-1.0))) / a

    def __str__(self) -> str:
        return f"tsallis:{self.alpha:g}" if float(f"{self.alpha:g}") == self.alpha else f"tsallis:{self.alpha!r}"


@dataclass(frozen=True)
class JensenShannon(Divergence):
    """f(u) = [u log u - (u + 1) log((u + 1) / 2)] / 2; D_f is the Jensen-Shannon divergence, at most log 2."""

    name: ClassVar[str] = "js"

    def f(self, u: Tensor) -> Tensor:
        return 0.5 * (torch.xlogy(u, u) - (u + 1.0) * torch.log1p(0.5 * (u - 1.0)))

    def f_prime(self, u: Tensor) -> Tensor:
        return -0.5 * (torch.log1p(u.reciprocal()) - math.log(2.0))

    def f_second(self, u: Tensor) -> Tensor:
        return 0.5 / (u * (u + 1.0))

    def f_prime_inverse(self, y: Tensor) -> Tensor:
        return 1.0 / torch.expm1(math.log(2.0) - 2.0 * y).clamp_min(0.0)

    def conjugate(self, y: Tensor) -> Tensor:
        return -0.5 * torch.log((2.0 - (2.0 * y).exp()).clamp_min(0.0))

    def sensitivity(self, log_u: Tensor) -> Tensor:
        return 2.0 * (1.0 + log_u.exp())

    def log_ratio_below(self, log_u_max: Tensor, gap: Tensor) -> Tensor:
        # u = u_max E / (1 + u_max (1 - E)) with E = exp(-2 gap): no cancellation at the singularity of (f')^-1.
        return log_u_max - 2.0 * gap - torch.log1p(-log_u_max.exp() * torch.expm1(-2.0 * gap))


@dataclass(frozen=True)
class ChiSquare(Divergence):
    """f(u) = (u - 1)^2: Pearson's χ², twice Tsallis at α = 2. Sparse."""

    name: ClassVar[str] = "chi2"

    @property
    def tsallis_form(self) -> tuple[float, float]:
        return 2.0, 2.0

    def f(self, u: Tensor) -> Tensor:
        return (u - 1.0).square()

    def f_prime(self, u: Tensor) -> Tensor:
        return 2.0 * (u - 1.0)

    def f_second(self, u: Tensor) -> Tensor:
        return torch.full_like(u, 2.0)

    def f_prime_inverse(self, y: Tensor) -> Tensor:
        return (1.0 + 0.5 * y).clamp_min(0.0)

    def conjugate(self, y: Tensor) -> Tensor:
        return self.f_prime_inverse(y).square() - 1.0


@dataclass(frozen=True)
class Hellinger(Divergence):
    """f(u) = (√u - 1)^2: squared Hellinger distance without the factor 1/2, half of Tsallis at α = 1/2."""

    name: ClassVar[str] = "hellinger"

    @property
    def tsallis_form(self) -> tuple[float, float]:
        return 0.5, 0.5

    def f(self, u: Tensor) -> Tensor:
        return (u.sqrt() - 1.0).square()

    def f_prime(self, u: Tensor) -> Tensor:
        return 1.0 - u.rsqrt()

    def f_second(self, u: Tensor) -> Tensor:
        return 0.5 * u.pow(-1.5)

    def f_prime_inverse(self, y: Tensor) -> Tensor:
        return (1.0 - y).clamp_min(0.0).pow(-2.0)

    def conjugate(self, y: Tensor) -> Tensor:
        return torch.where(y < 1.0, y / (1.0 - y), math.inf)


DIVERGENCES: dict[str, type[Divergence]] = {
    d.name: d for d in (KL, ReverseKL, Tsallis, JensenShannon, ChiSquare, Hellinger)
}


def divergence_from_name(name: str) -> Divergence:
    """The generator that `str(divergence)` names: "kl", "reverse_kl", "js", "chi2", "hellinger" or "tsallis:0.5".

    Raises ValueError with the closest known name.
    """
    kind, colon, argument = name.partition(":")
    if kind not in DIVERGENCES:
        raise ValueError(f"divergence={name!r}: expected one of {', '.join(DIVERGENCES)}{closest(kind, DIVERGENCES)}")
    if kind != Tsallis.name:
        if colon:
            raise ValueError(f"divergence={name!r}: {kind!r} takes no argument")
        return DIVERGENCES[kind]()
    try:
        alpha = float(argument)
    except ValueError:
        raise ValueError(f"divergence={name!r}: expected a number after 'tsallis:', as in 'tsallis:0.5'") from None
    return Tsallis(alpha)
