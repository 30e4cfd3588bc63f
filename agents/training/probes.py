"""The curvature of an objective in its head's parameters, measured while training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from .on_policy import OnPolicy
from .rollouts import Minibatch, take


def hessians(losses: Callable[[Tensor], Tensor], parameters: Tensor) -> Tensor:
    """The Hessian [B, P, P] of each loss_i in its own parameters_i, of losses [B, P] -> [B], by double backward."""
    parameters = parameters.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(losses(parameters).sum(), parameters, create_graph=True)
    if not gradients.requires_grad:  # linear in the parameters
        return parameters.new_zeros(*parameters.shape, parameters.shape[-1])
    rows = [
        torch.autograd.grad(gradient.sum(), parameters, retain_graph=True, materialize_grads=True)[0]
        for gradient in gradients.unbind(-1)
    ]
    return torch.stack(rows, dim=-2)


def negative_curvature(model: OnPolicy, n_states: int = 256, tolerance: float = 1e-8) -> float:
    """The share of states at which the objective is not convex in the parameters of the head, as the policy is now.

    The Hessians are those of the losses of `n_states` transitions spread over the last rollout, in float64; one counts
    where its smallest eigenvalue is below -tolerance times its largest absolute one. Regulariser and entropy bonus are
    left out.
    """
    whole = next(model.rollout_buffer.get(shuffle=False))
    rows = torch.linspace(0, len(whole.actions) - 1, min(n_states, len(whole.actions)), device=model.device).long()
    batch = Minibatch(*(take(column, rows) for column in whole))
    with torch.no_grad():
        parameters = model.policy.evaluate(batch.observations)[0].double()
    old = model.policy.head(batch.behaviour.double(), batch.masks)
    advantages = model.scaled_advantages(batch._replace(advantages=batch.advantages.double()))

    def losses(parameters: Tensor) -> Tensor:
        return model._objective(model.policy.head(parameters, batch.masks), old, batch.actions, advantages).loss

    eigenvalues = torch.linalg.eigvalsh(hessians(losses, parameters))
    return (eigenvalues[:, 0] < -tolerance * eigenvalues.abs().amax(-1)).double().mean().item()


class HessianProbe(BaseCallback):
    """Logs `train/negative_curvature` after each update, for `n_states` transitions of its rollout.

    It is 0 for a logits-convex objective on a categorical head. Nothing is drawn at random: training is the same with
    and without the probe.

    Raises:
        ValueError: for n_states < 2, and in an algorithm of another family.
    """

    def __init__(self, n_states: int = 256) -> None:
        super().__init__()
        if n_states < 2:
            raise ValueError(f"n_states={n_states!r}: must be at least 2, over which advantages are normalised")
        self.n_states, self._updated = n_states, False

    def _init_callback(self) -> None:
        if not isinstance(self.model, OnPolicy):
            raise ValueError(f"HessianProbe: {type(self.model).__name__} has no objective in the parameters of a head")

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._measure()

    def _on_rollout_end(self) -> None:
        self._updated = True

    def _on_training_end(self) -> None:
        self._measure()

    def _measure(self) -> None:
        """At the start of the next rollout, before which SB3 offers no hook, the last one is still in the buffer."""
        if self._updated:
            assert isinstance(self.model, OnPolicy)
            self.logger.record("train/negative_curvature", negative_curvature(self.model, self.n_states))
