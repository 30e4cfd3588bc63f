"""Step sizes: what is admissible is checked and said, never silently changed; and Armijo's line search."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .checks import Array
from .gradients import per_run


class StepSizeWarning(UserWarning):
    """A step beyond the range in which its theory holds."""


def warn_beyond(name: str, step: float, limit: float, source: str) -> None:
    """Warn with a StepSizeWarning if `step` exceeds `limit`, naming both and where the limit comes from."""
    if step > limit:
        warnings.warn(
            f"{name}={step:g}: beyond {limit:g}, the admissible range of {source}", StepSizeWarning, stacklevel=3
        )


@dataclass(frozen=True)
class Armijo:
    """Backtracking from `step_max`: accept alpha once f(x - alpha g) <= f(x) - c alpha |g|^2, else alpha *= shrink."""

    step_max: float = 1.0
    c: float = 0.5
    shrink: float = 0.5
    max_tries: int = 100

    def descend(self, loss: Callable[[Array], Array], theta: Array, gradient: Array, dims: int) -> tuple[Array, Array]:
        """One step down: (next theta, accepted steps [...]); `dims` trailing dimensions of theta are one run's.

        A run that finds no step keeps its theta, with step 0.
        """
        axes = tuple(range(-dims, 0))
        start, slope = loss(theta), self.c * np.square(gradient).sum(axes)
        step = np.full(np.shape(start), self.step_max)
        for _ in range(self.max_tries):
            accepted = loss(theta - per_run(step, dims) * gradient) <= start - step * slope
            if accepted.all():
                break
            step = np.where(accepted, step, self.shrink * step)
        else:
            step = np.where(accepted, step, 0.0)
        return theta - per_run(step, dims) * gradient, step
