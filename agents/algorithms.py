"""The algorithms side by side: defaults and an objective each; everything else is `OnPolicy`."""

from __future__ import annotations

from typing import Any

from . import objectives
from .policies import ActorCriticPolicy
from .training.on_policy import OnPolicy
from .training.schedules import Schedule


class PPO(OnPolicy):
    """Proximal policy optimisation with a clipped ratio (Schulman et al. 2017); with SB3's heads it is SB3's PPO.

    Args:
        clip_range: epsilon; ratios are clipped to [1 - clip_range, 1 + clip_range].
        clip_range_high: the upper epsilon where it differs (arXiv 2512.16565); None: symmetric.
        common: see `OnPolicy`.
    """

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        learning_rate: float | str | Schedule = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: float | str | Schedule = 0.2,
        clip_range_high: float | str | Schedule | None = None,
        **common: Any,
    ) -> None:
        self.clip_range, self.clip_range_high = clip_range, clip_range_high
        super().__init__(policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, **common)

    def objective(self) -> objectives.Objective:
        """The clipped surrogate."""
        high = None if self.clip_range_high is None else self.scalar("clip_range_high")
        return objectives.PPOClip(self.scalar("clip_range"), high)


class SPMA(OnPolicy):
    """Softmax policy mirror ascent (arXiv 2411.12042): mirror ascent in the logits, projected by a few inner steps.

    Args:
        eta: step size of the mirror ascent, in units of 1 / (normalised) advantage.
        common: see `OnPolicy`; the paper's defaults differ from PPO's: 5 passes, no gradient clipping.
    """

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        learning_rate: float | str | Schedule = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 5,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        eta: float | str | Schedule = 0.3,
        *,
        max_grad_norm: float | None = None,
        **common: Any,
    ) -> None:
        self.eta = eta
        common["max_grad_norm"] = max_grad_norm
        super().__init__(policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, **common)

    def objective(self) -> objectives.Objective:
        """-A log r + KL(old || new) / eta."""
        return objectives.SPMA(self.scalar("eta"))
