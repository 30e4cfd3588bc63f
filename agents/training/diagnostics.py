"""What an update logs: every `train/*` value is the mean over all its minibatches."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


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
