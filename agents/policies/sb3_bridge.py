"""The adapters that SB3 and sb3-contrib need around our distributions, all in one place."""

from __future__ import annotations

from stable_baselines3.common.distributions import CategoricalDistribution
from torch import Tensor, nn
from torch.distributions import Distribution

from .heads import Head


class HeadDistribution(CategoricalDistribution):
    """SB3's Distribution interface over a head's distribution, fresh for each batch, so old and new never alias.

    It derives from SB3's categorical for one reason: ActorCriticPolicy chooses how to build the last layer by class,
    and that branch asks the object for the layer (`proba_distribution_net`), which any head can answer.
    """

    distribution: Distribution  # type: ignore[assignment]

    def __init__(self, head: Head) -> None:
        super().__init__(action_dim=head.net_size)
        self.head = head

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """The layer from latent [B, latent_dim] to the head's net_size outputs."""
        return nn.Linear(latent_dim, self.head.net_size)

    def proba_distribution(self, action_logits: Tensor) -> HeadDistribution:
        """A new adapter over the distribution with parameters [B, P]; self is left as it was."""
        bound = HeadDistribution(self.head)
        bound.distribution = self.head(action_logits)
        return bound

    def log_prob(self, actions: Tensor) -> Tensor:
        """log pi(a|s), [B]."""
        return self.distribution.log_prob(actions)

    def entropy(self) -> Tensor:
        """Entropy in nats, [B]."""
        return self.distribution.entropy()

    def sample(self) -> Tensor:
        """Actions drawn from the policy."""
        return self.distribution.sample()

    def mode(self) -> Tensor:
        """The most probable actions."""
        return self.distribution.mode

    def actions_from_params(self, action_logits: Tensor, deterministic: bool = False) -> Tensor:
        """Actions of the distribution with parameters [B, P]."""
        return self.proba_distribution(action_logits).get_actions(deterministic=deterministic)

    def log_prob_from_params(self, action_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled actions and their log-probabilities."""
        bound = self.proba_distribution(action_logits)
        actions = bound.sample()
        return actions, bound.log_prob(actions)
