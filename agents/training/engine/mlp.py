"""Which policies the fused engine can run: two plain multilayer perceptrons, perhaps over shared layers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import nn

from ...policies import ActorCriticPolicy, SharedMlp

ACTIVATIONS: dict[type[nn.Module], str] = {nn.Tanh: "tanh", nn.ReLU: "relu"}
#: What the fused engine does itself; a policy that has its own of these keeps the torch engine.
REPLACED = (
    *("act", "sampled", "evaluate", "evaluate_critic", "predict_values"),
    *("extract_features", "_actor_features", "_head_parameters", "_critic_outputs"),
)
PLAIN_ADAM = {"weight_decay": 0, "amsgrad": False, "maximize": False, "capturable": False, "differentiable": False}


@dataclass(frozen=True)
class MlpSpec:
    """The layers of an actor-critic; the activation stands between layers, and after each shared one."""

    shared: tuple[nn.Linear, ...]  # what both networks look through; usually nothing
    actor: tuple[nn.Linear, ...]
    critic: tuple[nn.Linear, ...]
    activation: str  # "tanh" or "relu"
    log_std: nn.Parameter | None = field(compare=False)  # [A], the state-independent half of the head's parameters

    @property
    def actor_parameters(self) -> list[nn.Parameter]:
        """Weight and bias layer by layer, then log_std; what is shared is the actor's, and first."""
        return [*_parameters((*self.shared, *self.actor)), *([] if self.log_std is None else [self.log_std])]

    @property
    def critic_parameters(self) -> list[nn.Parameter]:
        """Weight and bias layer by layer."""
        return _parameters(self.critic)

    def has(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Whether these are the actor's and the critic's parameters."""
        own = [*self.actor_parameters, *self.critic_parameters]
        return len(own) == len(parameters) and all(map(operator.is_, own, parameters))


def recognise(policy: ActorCriticPolicy) -> MlpSpec | str:
    """The layers of a plain MLP policy with plain Adam, in float32 on the CPU; else, in short, what stands against it.

    Cheap enough to be asked at each rollout: structure, hooks, frozen parameters and optimiser are looked at anew.
    """
    named = dict(policy.named_parameters())
    return _unlike_mlp_policy(policy) or _unlike_adam(policy.optimizer, named.values()) or _layers(policy, named)


def _unlike_mlp_policy(policy: ActorCriticPolicy) -> str:
    if name := own_version(policy, ActorCriticPolicy, REPLACED):
        return f"policy: {type(policy).__name__} has its own {name}"
    space = policy.observation_space
    if not (isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)):
        return f"observations: {type(space).__name__}" + (f" of {space.dtype}" if space.dtype else "")
    extractors = {policy.features_extractor, policy.pi_features_extractor, policy.vf_features_extractor}
    for module in extractors:
        if type(module) not in (FlattenExtractor, SharedMlp):
            return f"policy: {type(module).__name__} instead of FlattenExtractor"
    if type(policy.mlp_extractor) is not MlpExtractor:
        return f"policy: {type(policy.mlp_extractor).__name__} instead of MlpExtractor"
    return "critic: Q(s, .)" if policy.q_critic else ""


def own_version(of: object, base: type, names: Iterable[str]) -> str:
    """The first of these methods that an object, or its class, has otherwise than `base`; "" if none."""
    own, kind = vars(of), type(of)
    return next((name for name in names if name in own or getattr(kind, name) is not getattr(base, name)), "")


def _unlike_adam(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]) -> str:
    if type(optimizer) is not torch.optim.Adam:
        return f"optimizer: {type(optimizer).__name__}"
    if len(optimizer.param_groups) != 1:
        return f"optimizer: {len(optimizer.param_groups)} parameter groups"
    group = optimizer.param_groups[0]
    for name, plain in PLAIN_ADAM.items():
        if group[name] != plain:
            return f"optimizer: {name}={group[name]}"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "optimizer: hooks"
    if set(map(id, group["params"])) != set(map(id, parameters)):
        return "optimizer: does not hold the policy's parameters"
    return ""


def _layers(policy: ActorCriticPolicy, named: Mapping[str, nn.Parameter]) -> MlpSpec | str:
    below = [
        [*extractor.layers] if isinstance(extractor, SharedMlp) else []
        for extractor in (policy.pi_features_extractor, policy.vf_features_extractor)
    ]
    shared: list[nn.Module] = below[0] if policy.share_features_extractor else []
    bodies = [
        [*([] if shared else own), *body]
        for own, body in zip(below, (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net), strict=True)
    ]
    activations = {type(module) for body in (shared, *bodies) for module in body if not isinstance(module, nn.Linear)}
    unknown = activations - set(ACTIVATIONS)
    if unknown or len(activations) > 1:
        return f"activation: {', '.join(sorted(kind.__name__ for kind in unknown or activations))}"
    for modules, last in ((shared, []), (bodies[0], [policy.action_net]), (bodies[1], [policy.value_net])):
        linear = [type(module) is nn.Linear and module.bias is not None for module in (*modules, *last)]
        if not all(linear[::2]) or any(linear[1::2]) or len(modules) % 2:
            return f"layers: {' '.join(type(module).__name__ for module in (*modules, *last))}"
    spec = MlpSpec(
        _linear(shared),
        _linear([*bodies[0], policy.action_net]),
        _linear([*bodies[1], policy.value_net]),
        ACTIVATIONS[activations.pop()] if activations else "tanh",
        policy.log_std if policy.head.has_log_std else None,
    )
    return _unusual([*spec.actor_parameters, *spec.critic_parameters], named) or hooks(policy) or spec


def _unusual(used: list[nn.Parameter], named: Mapping[str, nn.Parameter]) -> str:
    """What about parameters the fused engine would silently get wrong."""
    known = set(map(id, used))
    if len(known) < len(used):
        return "parameters: shared between layers"
    for name, p in named.items():
        if id(p) not in known:
            return f"parameters: {name} is of no plain layer"
        if p.dtype != torch.float32 or p.device.type != "cpu":
            return f"parameters: {p.dtype} on {p.device}".replace("torch.", "")
        if not p.requires_grad:
            return f"parameters: {name} is frozen"
        if p._backward_hooks or p._post_accumulate_grad_hooks:
            return f"hooks: on {name}"
    return ""


def hooks(policy: nn.Module) -> str:
    """Where code of the user's listens to a module, in short; "" if nowhere."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooked = [name for name, module in policy.named_modules() if any(getattr(module, kind) for kind in kinds)]
    return f"hooks: on {hooked[0] or 'the policy'}" if hooked else ""


def _linear(modules: Iterable[nn.Module]) -> tuple[nn.Linear, ...]:
    return tuple(module for module in modules if isinstance(module, nn.Linear))


def _parameters(layers: Iterable[nn.Linear]) -> list[nn.Parameter]:
    return [p for layer in layers for p in layer._parameters.values() if p is not None]
