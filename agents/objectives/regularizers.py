"""A divergence from a reference policy, as a reward penalty (coupled) or a loss term."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.distributions import Distribution

from ..geometry.divergences import Divergence
from ..suggest import check_choice
from .base import ScalarLike

PLACES = ("reward", "loss", "both")


@dataclass(frozen=True)
class Regularizer:
    """coef * D_f(pi(.|s) || reference), the coupled regulariser of arXiv 2601.12604.

    `where="reward"` subtracts it from each step's reward before advantages are computed, as the authors' alpha-Tsallis
    PPO does: values are then those of the regularised problem, but the penalty of a state is the same for each of its
    actions, so that the policy feels only the penalties of later states. `"loss"` adds it to the loss, which is felt
    at the state itself. `"both"` is the exact gradient of the regularised value V - coef V_f, as long as advantages are
    not normalised, which would rescale the first part alone.

    Raises:
        ValueError: for an unknown place.
    """

    divergence: Divergence
    coef: ScalarLike
    where: str = "reward"

    def __post_init__(self) -> None:
        check_choice("reg_where", self.where, PLACES)

    @property
    def in_reward(self) -> bool:
        """Whether the penalty enters the reward."""
        return self.where in ("reward", "both")

    @property
    def in_loss(self) -> bool:
        """Whether the penalty enters the loss."""
        return self.where in ("loss", "both")

    def divergence_of(self, policy: Distribution, reference: Distribution | None = None) -> Tensor:
        """D_f(pi || reference) per state, [B], without the coefficient; None is the uniform reference."""
        return policy.f_divergence(self.divergence, reference)  # type: ignore[attr-defined]

    def penalty(self, policy: Distribution, reference: Distribution | None = None) -> Tensor:
        """coef * D_f(pi || reference) per state, [B]."""
        return self.coef * self.divergence_of(policy, reference)
