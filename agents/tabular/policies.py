"""Parameterised policies: theta -> pi and its Jacobian products.

Every one is an f-softargmax, temperature 1, of logits z(theta) [..., S, A]. With w = q / f''(pi / q),
d pi = (diag w - w w^T / sum w) dz in each state. Leading axes of theta are independent runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..geometry import KL, Divergence
from .checks import Array, finite_array
from .operators import jacobian_product, log_softargmax, sensitivity, softargmax


@dataclass(frozen=True, eq=False)
class Policy:
    """What the policies have in common; each defines its logits and their Jacobian products.

    KL with the uniform reference is the softmax. reference [A] or [S, A], None is uniform.
    """

    divergence: Divergence = field(default_factory=KL)
    reference: Array | None = None

    param_dims = 2  # trailing dimensions of theta that are parameters, not runs

    def logits(self, theta: Array) -> Array:
        """z(theta) [..., S, A]."""
        raise NotImplementedError

    def pull_logits(self, theta: Array, cotangent: Array) -> Array:
        """(dz/dtheta)^T c for c [..., S, A]; shaped like theta."""
        raise NotImplementedError

    def push_logits(self, theta: Array, direction: Array) -> Array:
        """(dz/dtheta) v for v shaped like theta, [..., S, A]."""
        raise NotImplementedError

    def log_probs(self, theta: Array) -> Array:
        """log pi [..., S, A]; -inf off a sparse support."""
        return log_softargmax(self.logits(theta), self.divergence, 1.0, self.reference)

    def probs(self, theta: Array) -> Array:
        """pi [..., S, A]."""
        return softargmax(self.logits(theta), self.divergence, 1.0, self.reference)

    def jacobian(self, probs: Array, direction: Array) -> Array:
        """(d pi / dz) v in each state, [..., S, A]; symmetric."""
        return jacobian_product(sensitivity(probs, self.divergence, self.reference), direction)

    def vjp(self, theta: Array, probs: Array, cotangent: Array) -> Array:
        """(d pi / d theta)^T c for c [..., S, A], given pi at theta; shaped like theta."""
        return self.pull_logits(theta, self.jacobian(probs, cotangent))

    def jvp(self, theta: Array, probs: Array, direction: Array) -> Array:
        """(d pi / d theta) v for v shaped like theta, given pi at theta; [..., S, A]."""
        return self.jacobian(probs, self.push_logits(theta, direction))


@dataclass(frozen=True, eq=False)
class TabularPolicy(Policy):
    """pi = f-softargmax(theta), theta [..., S, A]."""

    def logits(self, theta: Array) -> Array:
        return theta

    def pull_logits(self, theta: Array, cotangent: Array) -> Array:
        return cotangent

    def push_logits(self, theta: Array, direction: Array) -> Array:
        return direction


SOFTMAX = TabularPolicy()


@dataclass(frozen=True, eq=False)
class LogLinearPolicy(Policy):
    """pi = f-softargmax(X theta): features X [S, A, d], theta [..., d]. Linear function approximation."""

    features: Array = field(kw_only=True)

    param_dims = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", finite_array("features", self.features, (None, None, None)))

    def logits(self, theta: Array) -> Array:
        return self.push_logits(theta, theta)

    def pull_logits(self, theta: Array, cotangent: Array) -> Array:
        rows = self.features.reshape(-1, self.features.shape[-1])
        return cotangent.reshape(*cotangent.shape[:-2], -1) @ rows

    def push_logits(self, theta: Array, direction: Array) -> Array:
        rows = self.features.reshape(-1, self.features.shape[-1])
        return (direction @ rows.T).reshape(*direction.shape[:-1], *self.features.shape[:-1])


@dataclass(frozen=True, eq=False)
class EscortPolicy(Policy):
    """pi(a|s) = |theta(s, a)|^p / sum_b |theta(s, b)|^p: a softmax of p log |theta| (the escort transform, p >= 1)."""

    p: float = field(default=2.0, kw_only=True)

    def __post_init__(self) -> None:
        if not self.p >= 1.0:
            raise ValueError(f"p={self.p!r}: must be at least 1, or the gradient is infinite at theta = 0")

    def logits(self, theta: Array) -> Array:
        with np.errstate(divide="ignore"):
            return self.p * np.log(np.abs(theta))

    def pull_logits(self, theta: Array, cotangent: Array) -> Array:
        return self.push_logits(theta, cotangent)

    def push_logits(self, theta: Array, direction: Array) -> Array:
        return self.p * np.divide(direction, theta, out=np.zeros_like(theta), where=theta != 0.0)
