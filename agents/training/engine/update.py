"""One update from a rollout without autograd through the networks: the twin of `JointUpdate` and `SeparateUpdate`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..diagnostics import Diagnostics
from ..updates import Learner
from .adam import FlatAdam
from .columns import Columns, columns_of
from .gradients import ObjectiveGradient
from .trunk import Trunk


class Tally:
    """Sums of metrics over minibatches, in plain numbers."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.diagnostics, self.names = Diagnostics(), names
        self._rows, self._minibatches = np.zeros(len(names)), 0
        self._sums: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def record(self, name: str, value: float) -> None:
        """Add one number."""
        self._sums[name] += value  # type: ignore[assignment]
        self._counts[name] += 1

    def record_metrics(self, metrics: np.ndarray) -> None:
        """Add the metrics of a minibatch, in the order of the names."""
        self._rows += metrics
        self._minibatches += 1

    def finished(self) -> Diagnostics:
        """The means so far."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        if self._minibatches:
            means |= dict(zip(self.names, self._rows / self._minibatches, strict=True))
        means.pop("policy_loss", None)  # of no interest of its own: it is the loss, or half of it
        self.diagnostics.record({name: torch.tensor(mean, dtype=torch.float64) for name, mean in means.items()})
        return self.diagnostics


@dataclass(frozen=True)
class FusedUpdate:
    """Adam steps on the trunk's flat gradient; what `JointUpdate`, or with `separate` `SeparateUpdate`, does in torch.

    `normalize_advantage` is that of each minibatch; `target_kl` ends the actor's passes before a step that would
    follow approx_kl > 1.5 target_kl.
    """

    trunk: Trunk
    optimizer: FlatAdam
    gradient: ObjectiveGradient
    n_epochs: int
    batch_size: int
    vf_coef: float
    max_grad_norm: float | None
    target_kl: float | None
    normalize_advantage: bool
    separate: bool
    n_critic_updates: int = 0

    def __call__(self, learner: Learner) -> Diagnostics:
        """Run it; the diagnostics hold the mean over all minibatches of each metric.

        Raises:
            FloatingPointError: if a gradient's norm is not finite; that step was not made.
        """
        self.optimizer.mend()
        self.gradient.refresh()
        columns, tally = columns_of(learner.rollout_buffer), Tally(self.gradient.metric_names)
        self._passes(columns, tally)
        for _ in range(self.n_critic_updates):
            self._critic_pass(columns, tally)
        return tally.finished()

    def _passes(self, columns: Columns, tally: Tally) -> None:
        names = self.gradient.metric_names
        policy_loss, value_loss, approx_kl = map(names.index, ("policy_loss", "value_loss", "approx_kl"))
        vf_coef, bound = 0.0 if self.separate else self.vf_coef, 1.5 * (self.target_kl or np.inf)
        batch_size = len(columns.returns) if self.n_critic_updates else self.batch_size
        for _ in range(self.n_epochs):
            tally.diagnostics.epochs += 1
            for rows in _minibatches(columns, batch_size):
                parameters, values = self.trunk.forward(columns.observations, rows)
                advantages = self._advantages(columns, rows)
                d_parameters, d_values, metrics = self.gradient(parameters, values, columns, rows, advantages)
                loss = metrics[policy_loss] + vf_coef * metrics[value_loss]
                tally.record_metrics(metrics)
                tally.record("loss", loss)
                if metrics[approx_kl] > bound:
                    return
                if self.separate:
                    self._separate_steps(d_parameters, d_values, loss, metrics[value_loss], tally)
                else:
                    np.multiply(d_values, vf_coef, out=d_values)
                    self.trunk.backward(d_parameters, d_values)
                    self._step(self.optimizer.flat.all, loss, "grad_norm", tally)

    def _separate_steps(
        self, d_parameters: np.ndarray, d_values: np.ndarray, policy_loss: float, value_loss: float, tally: Tally
    ) -> None:
        """The actor's step and, unless its passes come later, the critic's, which does not depend on it."""
        self.trunk.backward(d_parameters, None if self.n_critic_updates else d_values)
        self._step(self.optimizer.flat.actor, policy_loss, "grad_norm", tally)
        if not self.n_critic_updates:
            self._step(self.optimizer.flat.critic, value_loss, "critic_grad_norm", tally)

    def _critic_pass(self, columns: Columns, tally: Tally) -> None:
        value_loss = self.gradient.metric_names.index("value_loss")
        for rows in _minibatches(columns, self.batch_size):
            values = self.trunk.forward_critic(columns.observations, rows)
            # The value loss does not look at the policy, so any parameters will do.
            behaviour, advantages = columns.behaviour.take(rows, 0), columns.advantages.take(rows)
            _, d_values, metrics = self.gradient(behaviour, values, columns, rows, advantages)
            self.trunk.backward(None, d_values)
            self._step(self.optimizer.flat.critic, metrics[value_loss], "critic_grad_norm", tally)

    def _step(self, part: slice, loss: float, name: str, tally: Tally) -> None:
        optimizer = self.optimizer
        tally.record(name, optimizer.fused_step(part, optimizer.learning_rate, self.max_grad_norm, loss))

    def _advantages(self, columns: Columns, rows: np.ndarray) -> np.ndarray:
        """Advantages [B] as `advantages.normalized` gives them."""
        advantages = columns.advantages.take(rows)
        n = len(advantages)
        if self.normalize_advantage and n > 1:
            advantages -= np.add.reduce(advantages) / n
            advantages /= math.sqrt(np.dot(advantages, advantages) / (n - 1)) + 1e-8
        return advantages


def _minibatches(columns: Columns, batch_size: int) -> Iterator[np.ndarray]:
    """Rows [B] of one shuffled pass, as `RolloutBuffer.get` draws them."""
    indices = np.random.permutation(len(columns.returns))
    return (indices[start : start + batch_size] for start in range(0, len(indices), batch_size))
