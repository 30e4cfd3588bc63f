"""The gradient of a minibatch's losses in the head's parameters and the values, for the fused engine.

`EagerGradient` is torch's autograd on these small tensors; `lowering` runs the same function without torch.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..losses import MinibatchLoss, SampleLosses
from ..rollouts import Minibatch
from .columns import Columns


class Gradient(NamedTuple):
    """Means over B samples, differentiated; the arrays stay valid until the next call."""

    d_parameters: np.ndarray  # [B, P] float32, of the policy loss
    d_values: np.ndarray  # [B] float32, of the value loss
    metrics: np.ndarray  # [M] float64, means in the order of `metric_names`


class ObjectiveGradient(Protocol):
    """A `MinibatchLoss` and its gradient, on arrays."""

    @property
    def executor(self) -> str:
        """What runs it: "torch", "numpy" or "numba"."""
        ...

    @property
    def reason(self) -> str:
        """Why a better executor was not taken; "" where there is none."""
        ...

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics."""
        ...

    def refresh(self) -> None:
        """A new update: read the scheduled scalars, and expect new columns."""
        ...

    def __call__(
        self, parameters: np.ndarray, values: np.ndarray, columns: Columns, rows: np.ndarray, advantages: np.ndarray
    ) -> Gradient:
        """Losses at parameters [B, P], values [B] and scaled advantages [B] (float32) of rows [B] of a rollout."""
        ...


class Example(NamedTuple):
    """Arguments of an `ObjectiveGradient`, made up."""

    parameters: np.ndarray
    values: np.ndarray
    columns: Columns
    rows: np.ndarray
    advantages: np.ndarray


def example(loss: MinibatchLoss, batch_size: int, n_rows: int, seed: int = 0) -> Example:
    """A rollout of n_rows with random policies, not far from each other, and a minibatch of it."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    behaviour = normal(n_rows, loss.head.param_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        actions = loss.head(torch.from_numpy(behaviour)).sample().numpy()
    old_values, advantages, returns = normal(n_rows), normal(n_rows), normal(n_rows)
    reference = None if loss.reference_head is None else normal(n_rows, loss.reference_head.param_size)
    columns = Columns(normal(n_rows, 1), actions, behaviour, None, old_values, advantages, returns, reference)
    rows = rng.permutation(n_rows)[:batch_size]
    near = behaviour[rows] + 0.3 * normal(batch_size, behaviour.shape[1])
    return Example(near, old_values[rows] + 0.5 * normal(batch_size), columns, rows, advantages[rows])


def metrics_of(loss: MinibatchLoss, losses: SampleLosses, parameters: Tensor, batch: Minibatch) -> dict[str, Tensor]:
    """What the torch engine logs of a minibatch, [B] or a scalar each, and the policy's loss."""
    metrics = losses.metrics | {"policy_loss": losses.policy}
    new = loss.head(parameters, batch.masks)
    if hasattr(new, "divergence_to_reference"):
        metrics["head_divergence"] = new.divergence_to_reference()
    return {name: metric.detach() for name, metric in metrics.items()}


def gradient_norms(objective: Tensor, parameters: Tensor) -> Tensor:
    """Norms [B] of d loss_i / d parameters_i from the sum of the objective's losses, for `negative_share`."""
    (gradients,) = torch.autograd.grad(objective, parameters, retain_graph=True)
    return gradients.norm(dim=-1)


class EagerGradient:
    """Autograd on leaves that share memory with the arrays: for every loss, at torch's overhead per operation."""

    executor = "torch"

    def __init__(self, loss: MinibatchLoss, reason: str = "") -> None:
        self.loss, self.reason = loss, reason
        self._columns: Columns | None = None
        self._tensors: list[Tensor | None] = []
        self.metric_names = self._losses(*example(loss, 3, 3))[1]

    def refresh(self) -> None:
        """The loss holds the scalars themselves; the columns are new."""
        self._columns = None

    def __call__(
        self, parameters: np.ndarray, values: np.ndarray, columns: Columns, rows: np.ndarray, advantages: np.ndarray
    ) -> Gradient:
        """As the protocol says."""
        (d_parameters, d_values), _, means = self._losses(parameters, values, columns, rows, advantages)
        return Gradient(d_parameters.numpy(), d_values.numpy(), means.numpy())

    def _losses(
        self, parameters: np.ndarray, values: np.ndarray, columns: Columns, rows: np.ndarray, advantages: np.ndarray
    ) -> tuple[tuple[Tensor, ...], tuple[str, ...], Tensor]:
        if columns is not self._columns:
            self._columns = columns
            self._tensors = [None if column is None else torch.from_numpy(column) for column in columns[1:]]
        index = torch.from_numpy(rows)
        batch = Minibatch(None, *(None if t is None else t[index] for t in self._tensors))  # type: ignore[arg-type]
        batch = batch._replace(advantages=torch.from_numpy(advantages))
        leaves = torch.from_numpy(parameters).requires_grad_(), torch.from_numpy(values).requires_grad_()
        losses = self.loss(*leaves, None, batch)
        metrics = metrics_of(self.loss, losses, leaves[0], batch)
        norms = gradient_norms(losses.objective.sum(), leaves[0])
        tiny = torch.finfo(norms.dtype).tiny
        metrics["negative_share"] = norms[batch.advantages < 0].sum() / norms.sum().clamp_min(tiny)
        gradients = torch.autograd.grad(losses.policy.mean() + losses.value.mean(), leaves)
        means = torch.stack([metric.mean() for metric in metrics.values()]).double()
        return gradients, tuple(metrics), means
