"""SB3-style actor-critic policies whose last layer feeds any action head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common import policies as sb3
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from .checks import check_image, check_net_arch, check_observations
from .heads import make_head
from .images import RawNatureCNN
from .lean_torch import keep_compiler_out, keep_freed_memory
from .names import class_from_name
from .sb3_bridge import HeadDistribution


class ActorCriticPolicy(sb3.ActorCriticPolicy):
    """SB3's ActorCriticPolicy with an action head by name; same modules, names and initialisation.

    Args:
        head: "softmax", "tsallis:0.5", "gaussian", ... (None: SB3's own for the action space).
        temperature: lambda of the head's f-softargmax, > 0.
        reference: fixed reference policy of the head, one probability per action (None: uniform).
        q_critic: add Q(s, .) [B, A] beside V(s), from the same critic trunk; Discrete action spaces only.
        precision, compile: of `RawNatureCNN`, which stands in for SB3's NatureCNN.
        others: as in SB3; classes (`activation_fn`, `optimizer_class`, `features_extractor_class`) also by name.

    Raises:
        ValueError: for a head that is unknown or does not suit the action space, gSDE, a CNN on vectors, observations
            that are neither arrays nor a Dict of them, or a `net_arch` that says no widths.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        activation_fn: type[nn.Module] | str = nn.Tanh,
        ortho_init: bool = True,
        use_sde: bool = False,
        log_std_init: float = 0.0,
        features_extractor_class: type[BaseFeaturesExtractor] | str = FlattenExtractor,
        features_extractor_kwargs: dict[str, Any] | None = None,
        share_features_extractor: bool = True,
        normalize_images: bool = True,
        optimizer_class: type[torch.optim.Optimizer] | str = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        head: str | None = None,
        temperature: float = 1.0,
        reference: Sequence[float] | None = None,
        q_critic: bool = False,
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        if use_sde:
            raise ValueError("use_sde=True: state-dependent exploration has no f-softargmax form; use a head instead")
        check_observations(observation_space)
        if type(self)._build_mlp_extractor is sb3.ActorCriticPolicy._build_mlp_extractor:
            check_net_arch(net_arch)  # a network of the user's may want another
        features_extractor_class = class_from_name("features_extractor_class", features_extractor_class)
        optimizer_class = class_from_name("optimizer_class", optimizer_class)
        if issubclass(features_extractor_class, NatureCNN):
            check_image(observation_space, normalize_images)
        if features_extractor_class is NatureCNN:
            features_extractor_class = RawNatureCNN
            net_arch = [] if net_arch is None else net_arch  # as SB3 has it
            options = {"precision": precision, "compile": compile}
            features_extractor_kwargs = options | (features_extractor_kwargs or {})
            if issubclass(optimizer_class, torch.optim.Adam):
                sb3s = {"eps": 1e-5} if optimizer_kwargs is None and optimizer_class is torch.optim.Adam else {}
                optimizer_kwargs = {"fused": True} | sb3s | (optimizer_kwargs or {})
        elif precision != "fp32" or compile:
            raise ValueError(f"precision={precision!r}, compile={compile}: options of CnnPolicy's NatureCNN alone")
        self.head = make_head(head, action_space, temperature, reference)
        self.own_kwargs = {
            "head": head,
            "temperature": temperature,
            "reference": reference,
            "q_critic": q_critic,
            "precision": precision,
            "compile": compile,
        }
        if q_critic and not isinstance(action_space, spaces.Discrete):
            raise ValueError(
                f"advantage='dense' needs a Discrete action space, whose actions can be enumerated, got {action_space}"
            )
        self.q_critic = q_critic
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=net_arch,
            activation_fn=class_from_name("activation_fn", activation_fn),
            ortho_init=ortho_init,
            log_std_init=log_std_init,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            share_features_extractor=share_features_extractor,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        if self.head.has_log_std:
            self.log_std = nn.Parameter(torch.full((self.head.net_size,), float(self.log_std_init)))
        self.action_dist = HeadDistribution(self.head)
        keep_compiler_out()
        super()._build(lr_schedule)
        for module in self.modules():
            if isinstance(module, RawNatureCNN):  # only now: orthogonal initialisation wants the plain order
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                keep_freed_memory()
        if self.q_critic:
            self.q_net = nn.Linear(self.mlp_extractor.latent_dim_vf, self.head.net_size)
            if self.ortho_init:
                self.q_net.apply(partial(self.init_weights, gain=1.0))
            # SB3 has just made the optimiser without the new layer.
            self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def extract_features(  # type: ignore[override]
        self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """As in SB3, except that `RawNatureCNN` sees the pixels as they are."""
        if not isinstance(self.features_extractor, RawNatureCNN):
            return super().extract_features(obs, features_extractor)
        if self.share_features_extractor:
            return (features_extractor or self.features_extractor)(obs)
        return self.pi_features_extractor(obs), self.vf_features_extractor(obs)

    def evaluate(self, obs: PyTorchObs) -> tuple[Tensor, Tensor, Tensor | None]:
        """Head parameters [B, P], state values [B] and, with a Q-critic, action values [B, A] of observations."""
        features = self.extract_features(obs)
        if self.share_features_extractor:
            latent_pi, latent_vf = self.mlp_extractor(features)
        else:
            latent_pi = self.mlp_extractor.forward_actor(features[0])
            latent_vf = self.mlp_extractor.forward_critic(features[1])
        return self._head_parameters(latent_pi), *self._critic_outputs(latent_vf)

    def evaluate_critic(self, obs: PyTorchObs) -> tuple[Tensor, Tensor | None]:
        """State values [B] and, with a Q-critic, action values [B, A] alone."""
        features = self.extract_features(obs)
        critic_features = features if isinstance(features, Tensor) else features[1]
        return self._critic_outputs(self.mlp_extractor.forward_critic(critic_features))

    def _critic_outputs(self, latent_vf: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.value_net(latent_vf).flatten(), self.q_net(latent_vf) if self.q_critic else None

    def actor_and_critic_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Two disjoint lists; what both use, a shared features extractor, is the actor's."""
        if not isinstance(getattr(self.mlp_extractor, "value_net", None), nn.Module):
            kind = type(self.mlp_extractor).__name__
            raise ValueError(f"mlp_extractor: {kind} has no value_net, by which a critic's own step knows its layers")
        critic_modules = [self.mlp_extractor.value_net, self.value_net]
        if self.q_critic:
            critic_modules.append(self.q_net)
        if not self.share_features_extractor:
            critic_modules.append(self.vf_features_extractor)
        critic = {id(p): p for module in critic_modules for p in module.parameters()}
        return [p for p in self.parameters() if id(p) not in critic], list(critic.values())

    def act(self, obs: PyTorchObs, masks: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Sampled actions [B, ...], head parameters [B, P] and values [B]: what a rollout stores; masks [B, M].

        Raises:
            FloatingPointError: if the network's output is not finite.
        """
        parameters, values, _ = self.evaluate(obs)
        check_finite(parameters.detach().sum())
        return self.sampled(parameters, masks), parameters, values

    def sampled(self, parameters: Tensor, masks: Tensor | None = None) -> Tensor:
        """Actions [B, ...] drawn at head parameters [B, P]; masks [B, M]."""
        return self.head(parameters, masks).sample().reshape((-1, *(self.action_space.shape or ())))

    def predict_masked(
        self, observation: np.ndarray | dict[str, np.ndarray], masks: np.ndarray, deterministic: bool = False
    ) -> np.ndarray:
        """Valid actions for one observation or a batch of them; masks [M] or [N, M] bool, True: valid."""
        self.set_training_mode(False)
        obs, vectorized = self.obs_to_tensor(observation)
        with torch.no_grad():
            parameters = self._head_parameters(self.mlp_extractor.forward_actor(self._actor_features(obs)))
            valid = torch.as_tensor(np.asarray(masks, bool), device=parameters.device).reshape(len(parameters), -1)
            policy = self.head(parameters, valid)
            actions = policy.mode if deterministic else policy.sample()
        result = actions.cpu().numpy().reshape((-1, *(self.action_space.shape or ())))
        return result if vectorized else result[0]

    def _actor_features(self, obs: PyTorchObs) -> Tensor:
        features = self.extract_features(obs)
        return features if isinstance(features, Tensor) else features[0]

    def _head_parameters(self, latent_pi: Tensor) -> Tensor:
        output = self.action_net(latent_pi)
        return torch.cat([output, self.log_std.expand_as(output)], dim=-1) if self.head.has_log_std else output

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> HeadDistribution:
        assert isinstance(self.action_dist, HeadDistribution)
        return self.action_dist.proba_distribution(self._head_parameters(latent_pi))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        for name in ("squash_output", "full_std", "use_expln"):
            data.pop(name)
        return data | self.own_kwargs


def check_finite(total: Tensor | np.floating) -> None:
    """Refuse head parameters whose sum is not finite: one reduction, so that it costs little on a hot path.

    Raises:
        FloatingPointError: saying where to look.
    """
    if not math.isfinite(total):
        raise FloatingPointError("the policy network's output is not finite: observations or weights hold NaN or inf")


class CnnPolicy(ActorCriticPolicy):
    """The policy for images: NatureCNN features."""

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, lr_schedule: Schedule, **kwargs: Any
    ) -> None:
        super().__init__(
            observation_space, action_space, lr_schedule, **{"features_extractor_class": NatureCNN} | kwargs
        )


class MultiInputPolicy(ActorCriticPolicy):
    """The policy for Dict observations: one extractor per entry, concatenated."""

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, lr_schedule: Schedule, **kwargs: Any
    ) -> None:
        super().__init__(
            observation_space, action_space, lr_schedule, **{"features_extractor_class": CombinedExtractor} | kwargs
        )


MlpPolicy = ActorCriticPolicy
