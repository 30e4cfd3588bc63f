"""One update from a rollout without autograd through the networks: the twin of `JointUpdate` and `SeparateUpdate`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..rollouts import RolloutBuffer
from ..updates import Learner
from .adam import FlatAdam
from .columns import Columns, columns_of
from .gradients import ObjectiveGradient
from .trunk import Trunk


class Tally:
    """`Diagnostics` in plain numbers: means over minibatches, without a tensor for each."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.epochs = 0  # passes over the rollout, begun
        self._names, self._rows, self._minibatches = names, np.zeros(len(names)), 0
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

    def means(self) -> dict[str, float]:
        """Metric name to mean over the minibatches recorded."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        if self._minibatches:
            means |= dict(zip(self._names, (self._rows / self._minibatches).tolist(), strict=True))
        means.pop("policy_loss", None)  # of no interest of its own: it is the loss, or half of it
        return means


@dataclass(frozen=True)
class FusedUpdate:
    """Adam steps on the trunk's flat gradient; what `JointUpdate`, or with `separate` `SeparateUpdate`, does in torch.

    `normalize_advantage` is that of each minibatch; approx_kl beyond `kl_limit` ends the passes that move the policy,
    before the step that would follow.
    """

    trunk: Trunk
    optimizer: FlatAdam
    gradient: ObjectiveGradient
    n_epochs: int
    batch_size: int
    vf_coef: float
    max_grad_norm: float | None
    kl_limit: float | None
    normalize_advantage: bool
    separate: bool
    n_critic_updates: int = 0

    def __call__(self, learner: Learner) -> Tally:
        """Run it; the diagnostics hold the mean over all minibatches of each metric.

        Raises:
            FloatingPointError: if a gradient's norm is not finite; that step was not made.
        """
        self.optimizer.mend()
        self.gradient.refresh()
        buffer, tally = learner.rollout_buffer, Tally(self.gradient.metric_names)
        columns = columns_of(buffer)
        self._passes(buffer, columns, tally)
        for _ in range(self.n_critic_updates):
            self._critic_pass(buffer, columns, tally)
        return tally

    def _passes(self, buffer: RolloutBuffer, columns: Columns, tally: Tally) -> None:
        names = self.gradient.metric_names
        policy_loss, value_loss = map(names.index, ("policy_loss", "value_loss"))
        approx_kl = None if self.kl_limit is None else names.index("approx_kl")
        vf_coef = 0.0 if self.separate else self.vf_coef
        batch_size = None if self.n_critic_updates else self.batch_size
        for _ in range(self.n_epochs):
            tally.epochs += 1
            for rows in _minibatches(buffer, batch_size):
                parameters, values = self.trunk.forward(columns.observations, rows)
                advantages = self._advantages(columns, rows)
                d_parameters, d_values, metrics = self.gradient(parameters, values, columns, rows, advantages)
                loss = metrics[policy_loss] + vf_coef * metrics[value_loss]
                tally.record_metrics(metrics)
                tally.record("loss", loss)
                if self.kl_limit is not None and metrics[approx_kl] > self.kl_limit:
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

    def _critic_pass(self, buffer: RolloutBuffer, columns: Columns, tally: Tally) -> None:
        value_loss = self.gradient.metric_names.index("value_loss")
        for rows in _minibatches(buffer, self.batch_size):
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


def _minibatches(buffer: RolloutBuffer, batch_size: int | None) -> Iterator[np.ndarray]:
    """Rows [B] of one shuffled pass, as `RolloutBuffer.get` takes them."""
    rows = buffer.permutation()
    return (rows[start : start + (batch_size or len(rows))] for start in range(0, len(rows), batch_size or len(rows)))
