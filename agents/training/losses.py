"""What a minibatch costs, sample by sample: a pure function of head parameters and values, without a network.

Both engines share it: the torch engine differentiates through it into the network, the fused engine only as far as the
parameters [B, P] and the values [B].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..objectives import Objective, Regularizer, value_loss
from ..objectives.base import sampled_kl_new_old, sampled_log_ratio
from ..policies.heads import Head
from .rollouts import Minibatch


class SampleLosses(NamedTuple):
    """Losses of B samples, [B] each, to be minimised in the mean; and what to log of them."""

    objective: Tensor  # of the policy objective alone
    policy: Tensor  # with entropy bonus and regulariser
    value: Tensor
    metrics: dict[str, Tensor]  # [B], or a scalar


@dataclass(frozen=True)
class MinibatchLoss:
    """Policy loss L(new, old) - ent_coef H(new) + reg_coef D_f(new || reference), and the critic's squared error.

    `regularizer` enters where its `in_loss` says; its divergence is logged in any case. `reference_head` makes the
    reference of `batch.reference`; None is the uniform one. `clip_range_vf` as in `value_loss`.
    """

    head: Head
    objective: Objective
    ent_coef: Tensor
    regularizer: Regularizer | None = None
    reference_head: Head | None = None
    clip_range_vf: Tensor | None = None

    def __call__(
        self, parameters: Tensor, values: Tensor, action_values: Tensor | None, batch: Minibatch
    ) -> SampleLosses:
        """Losses at head parameters [B, P], values [B] and, with a Q-critic, action values [B, A].

        `batch.advantages` are scaled already.
        """
        new, old = self.head(parameters, batch.masks), self.head(batch.behaviour, batch.masks)
        losses, metrics = self.objective(new, old, batch.actions, batch.advantages)
        entropy = new.entropy()
        policy = losses - self.ent_coef * entropy
        if self.regularizer is not None:
            divergence = self.regularizer.divergence_of(new, self.reference(batch))
            metrics["divergence"] = divergence
            if self.regularizer.in_loss:
                policy = policy + self.regularizer.coef * divergence
        value = self.value(values, action_values, batch)
        metrics |= {"policy_gradient_loss": losses, "value_loss": value}
        metrics |= {"entropy": entropy, "entropy_loss": -entropy, **new.diagnostics()}  # type: ignore[attr-defined]
        if torch.is_grad_enabled():  # a line search wants the loss alone
            log_ratio = sampled_log_ratio(new, old, batch.actions).detach()
            metrics["kl_new_old"] = sampled_kl_new_old(log_ratio)
        return SampleLosses(losses, policy, value, metrics)

    def reference(self, batch: Minibatch) -> Distribution | None:
        """The reference policy at the observations of a minibatch; None is the uniform one."""
        if self.reference_head is None:
            return None
        assert batch.reference is not None
        return self.reference_head(batch.reference, batch.masks)

    def value(self, values: Tensor, action_values: Tensor | None, batch: Minibatch) -> Tensor:
        """Squared error [B] of V, and of Q at the sampled actions where there is a Q-critic, to the returns."""
        loss = value_loss(values, batch.returns, batch.old_values, self.clip_range_vf)
        if action_values is None:
            return loss
        chosen = action_values.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
        return loss + value_loss(chosen, batch.returns)
