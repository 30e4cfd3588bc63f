"""How one update spends the rollout: one loss for actor and critic together, or a step for each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from torch import Tensor

from .diagnostics import Diagnostics
from .rollouts import Minibatch, RolloutBuffer
from .steps import ArmijoStep, GradientStep, Step, TrustRegionStep

if TYPE_CHECKING:
    from .algorithm import Algorithm


class Evaluation(NamedTuple):
    """A minibatch seen with the current parameters; losses are scalars, to be minimised."""

    policy_loss: Tensor
    value_loss: Tensor
    metrics: dict[str, Tensor]


class Learner(Protocol):
    """What an update needs of an algorithm; each call looks at the parameters as they are now."""

    @property
    def rollout_buffer(self) -> RolloutBuffer:
        """The rollout to learn from."""
        ...

    def evaluate(self, batch: Minibatch, detailed: bool = False) -> Evaluation:
        """Both losses and the metrics of a minibatch; `detailed`: the dearer metrics too."""
        ...

    def critic_loss(self, batch: Minibatch) -> Tensor:
        """The value loss alone."""
        ...

    def kl(self, batch: Minibatch) -> Tensor:
        """Mean KL(new || old)."""
        ...

    def beyond_target_kl(self, evaluation: Evaluation) -> bool:
        """Whether the policy has moved so far that the update should end."""
        ...


class Means(Protocol):
    """What is to be logged of an update."""

    epochs: int  # passes over the rollout, begun

    def means(self) -> dict[str, float]:
        """Metric name to mean over the minibatches."""
        ...


class Update(Protocol):
    """One update of an algorithm from its rollout."""

    def __call__(self, learner: Learner) -> Means:
        """Run it; the diagnostics hold a mean over all minibatches of each metric."""
        ...


@dataclass(frozen=True)
class JointUpdate:
    """n_epochs passes in shuffled minibatches, one step on policy loss + vf_coef * value loss: SB3's PPO."""

    step: Step
    n_epochs: int
    batch_size: int
    vf_coef: float

    def __call__(self, learner: Learner) -> Diagnostics:
        """Until the passes are done or the policy is beyond target_kl; then without that last step, as in SB3."""
        diagnostics = Diagnostics()
        for _ in range(self.n_epochs):
            diagnostics.epochs += 1
            for index, batch in enumerate(learner.rollout_buffer.get(self.batch_size)):
                evaluation = learner.evaluate(batch, detailed=index == 0)
                loss = self._loss(evaluation)
                diagnostics.record(evaluation.metrics | {"loss": loss})
                if learner.beyond_target_kl(evaluation):
                    return diagnostics
                again = partial(self._evaluated, learner, batch)
                diagnostics.record(self.step(loss, again, partial(learner.kl, batch)))
        return diagnostics

    def _evaluated(self, learner: Learner, batch: Minibatch) -> Tensor:
        return self._loss(learner.evaluate(batch))

    def _loss(self, evaluation: Evaluation) -> Tensor:
        return evaluation.policy_loss + self.vf_coef * evaluation.value_loss


@dataclass(frozen=True)
class SeparateUpdate:
    """A step of the actor on the policy loss and one of the critic on the value loss, over disjoint parameters.

    With `n_critic_updates=0` both take each minibatch in turn (SPMA): gradient steps by losses from one pass through
    the networks, as they were before either step. Otherwise the actor takes n_epochs steps on the whole rollout first,
    and then the critic n_critic_updates passes in minibatches (TRPO, MDPO).
    """

    actor_step: Step
    critic_step: Step
    n_epochs: int
    batch_size: int
    n_critic_updates: int = 0

    def __call__(self, learner: Learner) -> Diagnostics:
        """The actor's passes, ended by target_kl; then those of the critic alone."""
        diagnostics = Diagnostics()
        self.actor_step.begin_update()
        self.critic_step.begin_update()
        self._actor(learner, diagnostics)
        for _ in range(self.n_critic_updates):
            for batch in learner.rollout_buffer.get(self.batch_size):
                self._critic(learner, batch, diagnostics)
        return diagnostics

    def _actor(self, learner: Learner, diagnostics: Diagnostics) -> None:
        for _ in range(self.n_epochs):
            diagnostics.epochs += 1
            minibatches = learner.rollout_buffer.get(None if self.n_critic_updates else self.batch_size)
            for index, batch in enumerate(minibatches):
                evaluation = learner.evaluate(batch, detailed=index == 0)
                diagnostics.record(evaluation.metrics | {"loss": evaluation.policy_loss})
                if learner.beyond_target_kl(evaluation):
                    return
                again = partial(_policy_loss, learner, batch)
                diagnostics.record(self.actor_step(evaluation.policy_loss, again, partial(learner.kl, batch)))
                if not self.n_critic_updates:
                    searches = not isinstance(self.critic_step, GradientStep)
                    self._critic(learner, batch, diagnostics, None if searches else evaluation.value_loss)

    def _critic(
        self, learner: Learner, batch: Minibatch, diagnostics: Diagnostics, known: Tensor | None = None
    ) -> None:
        loss = learner.critic_loss(batch) if known is None else known
        metrics = self.critic_step(loss, partial(learner.critic_loss, batch), partial(learner.kl, batch))
        diagnostics.record({f"critic_{name}": value for name, value in metrics.items()})


def _policy_loss(learner: Learner, batch: Minibatch) -> Tensor:
    return learner.evaluate(batch).policy_loss


def make_update(model: Algorithm) -> Update:
    """Joint or separate, with the steps that an algorithm asks for."""
    policy, settings = model.policy, model.step_settings()
    if not model.takes_separate_steps:
        step = GradientStep(policy.optimizer, list(policy.parameters()), model.max_grad_norm)
        return JointUpdate(step, model.n_epochs, model.batch_size, model.vf_coef)
    actor, critic = policy.actor_and_critic_parameters()
    actor_step: Step = GradientStep(policy.optimizer, actor, model.max_grad_norm)
    critic_step: Step = GradientStep(policy.optimizer, critic, model.max_grad_norm)
    if model.step == "armijo":
        actor_step, critic_step = ArmijoStep(actor, **settings), ArmijoStep(critic, **settings)
    elif model.step == "trust_region":
        actor_step = TrustRegionStep(actor, model.target_kl or 0.01, **settings)
    return SeparateUpdate(actor_step, critic_step, model.n_epochs, model.batch_size, model.n_critic_updates)
