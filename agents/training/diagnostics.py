"""What an update logs: means over its minibatches, the dearer ones over the first minibatch of each pass."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..objectives.base import is_dense


class Diagnostics:
    """Running means of named metrics; a metric is a scalar or one number per sample [B] (averaged over the batch).

    Sums stay on the device until `means`, so recording costs no synchronisation.
    """

    def __init__(self) -> None:
        self.epochs = 0  # passes over the rollout, begun
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def record(self, metrics: Mapping[str, Tensor]) -> None:
        """Add one minibatch."""
        for name, value in metrics.items():
            value = value.detach()
            mean = value.mean() if value.dim() else value
            if name in self._sums:
                self._sums[name] += mean
                self._counts[name] += 1
            else:
                self._sums[name], self._counts[name] = mean.to(torch.float64, copy=True), 1

    def means(self) -> dict[str, float]:
        """Metric name to mean over the minibatches recorded."""
        return {name: (total / self._counts[name]).item() for name, total in self._sums.items()}


def detailed_diagnostics(
    new: Distribution, advantages: Tensor, losses: Tensor, parameters: Tensor
) -> dict[str, Tensor]:
    """What is worth a look but not a fifth of the update's time; gradients of the update are not touched.

    `head_divergence` [B]: D_f of a categorical head from its own reference. `negative_share`: the part of the gradient
    that comes from samples with A < 0, the sum over them of the norms of d loss_i / d parameters_i by that over all
    samples; `parameters` [B, P] are those of `new`. There is none with dense advantages, where each sample has both
    signs, nor of a frozen policy.
    """
    metrics = {}
    if hasattr(new, "divergence_to_reference"):
        with torch.no_grad():
            metrics["head_divergence"] = new.divergence_to_reference()
    if parameters.requires_grad and not is_dense(new, advantages):
        (gradients,) = torch.autograd.grad(losses.sum(), parameters, retain_graph=True)
        norms = gradients.norm(dim=-1)
        negative = torch.where(advantages < 0, norms, 0.0).sum()
        metrics["negative_share"] = negative / norms.sum().clamp_min(torch.finfo(norms.dtype).tiny)
    return metrics
