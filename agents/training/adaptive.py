"""An adaptive step size for mirror ascent, which its paper leaves open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class AdaptiveEta:
    """eta = min(1 / max(-A), eta_kl): the target pi_old (1 + eta A) stays a distribution, and the KL near its target.

    eta_kl follows the KL measured after each update: multiplied by `factor` when below target / tolerance, divided by
    it when above target * tolerance. Advantages are those that the objective sees. At unit scale the first bound keeps
    eta below about 0.3; where it binds, the KL stays under its target.
    """

    eta_kl: float = 0.3
    target_kl: float = 0.02
    factor: float = 1.5
    tolerance: float = 1.5

    def before_update(self, advantages: np.ndarray) -> float:
        """The step size for these advantages."""
        worst = float(-advantages.min())
        return min(self.eta_kl, 0.999 / worst) if worst > 0 else self.eta_kl

    def after_update(self, kl: float) -> None:
        """Move towards the target."""
        if kl > self.tolerance * self.target_kl:
            self.eta_kl /= self.factor
        elif kl < self.target_kl / self.tolerance:
            self.eta_kl *= self.factor
