"""How parameters move once a loss is known: one interface for every optimiser step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

LossFn = Callable[[], Tensor]


class Step(Protocol):
    """An optimiser step from a loss at the current parameters; `loss_fn` evaluates it elsewhere (line searches)."""

    def __call__(self, loss: Tensor, loss_fn: LossFn) -> dict[str, Tensor]:
        """Move the parameters; return metrics to log."""
        ...


@dataclass(frozen=True)
class GradientStep:
    """Backward, norm clipping (`max_grad_norm=None`: none), optimiser step; SB3's step when the optimiser is Adam.

    Raises:
        FloatingPointError: if the gradient's norm is not finite; the parameters are then left as they were.
    """

    optimizer: torch.optim.Optimizer
    parameters: Sequence[nn.Parameter]
    max_grad_norm: float | None = 0.5

    def __call__(self, loss: Tensor, loss_fn: LossFn) -> dict[str, Tensor]:
        """One step; `grad_norm` is the norm before clipping."""
        self.optimizer.zero_grad()
        loss.backward()
        grad_norm = nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm or math.inf)
        if not torch.isfinite(grad_norm):
            raise FloatingPointError(
                f"the gradient's norm is {grad_norm.item()} (loss {loss.item()}): the update was not applied; "
                "check rewards and observations, or lower learning_rate"
            )
        self.optimizer.step()
        return {"grad_norm": grad_norm.detach()}
