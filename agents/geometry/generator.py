"""What a generator of an f-divergence offers.

D_f(p || q) = Σ_a q(a) f(p(a) / q(a)), p the policy and q the reference; f is strictly convex with f(1) = 0.
Throughout, u = p/q is the density ratio and y = f'(u) its dual variable.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor


class Divergence:
    """A generator f. A new one needs `name`, `f`, `f_prime`, `f_second` and `f_prime_inverse`; the rest follows.

    `full_support` says whether f'(0+) = -inf, so that the f-softargmax never assigns probability zero.
    """

    name: ClassVar[str]

    @property
    def full_support(self) -> bool:
        return math.isinf(self.f_prime_zero)

    @property
    def f_zero(self) -> float:
        """lim f(u) for u -> 0."""
        return self._limit(self.f, 0.0)

    @property
    def f_prime_zero(self) -> float:
        """lim f'(u) for u -> 0: the lower end of the range of f'."""
        return self._limit(self.f_prime, 0.0)

    @property
    def f_prime_infinity(self) -> float:
        """lim f'(u) for u -> inf: the upper end of the range of f', and the price of mass outside the reference."""
        return self._limit(self.f_prime, math.inf)

    @property
    def tsallis_form(self) -> tuple[float, float] | None:
        """(alpha, weight) if f = weight · f_alpha + a linear term (f_alpha: Tsallis), else None. Same softargmax."""
        return None

    def f(self, u: Tensor) -> Tensor:
        raise NotImplementedError

    def f_prime(self, u: Tensor) -> Tensor:
        raise NotImplementedError

    def f_second(self, u: Tensor) -> Tensor:
        raise NotImplementedError

    def f_prime_inverse(self, y: Tensor) -> Tensor:
        """u with f'(u) = y; 0 below the range of f' (sparse generators), inf above it."""
        raise NotImplementedError

    def conjugate(self, y: Tensor) -> Tensor:
        """f*(y) = max_{u >= 0} u y - f(u); inf above the range of f'."""
        u = self.f_prime_inverse(y)
        return torch.where(u == math.inf, u, u * y - self.f(u))

    def sensitivity(self, log_u: Tensor) -> Tensor:
        """d log u / dy = 1 / (u f''(u)), from log u."""
        if self.tsallis_form is not None:  # u^(1 - alpha), also where u itself would be 0 in floating point
            alpha, weight = self.tsallis_form
            return ((1.0 - alpha) * log_u).exp() / weight
        u = log_u.exp()
        return 1.0 / (u * self.f_second(u))

    def log_ratio_below(self, log_u_max: Tensor, gap: Tensor) -> Tensor:
        """log u for the action whose dual variable lies `gap` >= 0 below that of the ratio u_max."""
        return self.f_prime_inverse(self.f_prime(log_u_max.exp()) - gap).log()

    def divergence(self, probs: Tensor, reference: Tensor | None = None) -> Tensor:
        """D_f(probs || reference) over the last dimension, [..., A] -> [...]; reference None is uniform.

        At zeros the value is the limit (possibly inf) and the gradient 0.
        """
        q = torch.full_like(probs, 1.0 / probs.shape[-1]) if reference is None else reference.to(probs)
        covered = q > 0
        inside = covered & (probs > 0)
        within = q * self.f(torch.where(inside, probs / torch.where(covered, q, 1.0), 1.0))
        lost = torch.where(covered, q * self.f_zero, 0.0)
        outside = probs * torch.where(covered | (probs <= 0), 0.0, self.f_prime_infinity)
        return torch.where(inside, within, torch.where(covered, lost, outside)).sum(-1)

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def _limit(function, at: float) -> float:
        return float(function(torch.tensor(at, dtype=torch.float64)))
