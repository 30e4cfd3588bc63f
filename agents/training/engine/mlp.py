"""Which policies the fused engine can run: two plain multilayer perceptrons, perhaps over shared layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import nn

from ...policies import ActorCriticPolicy, SharedMlp

ACTIVATIONS: dict[type[nn.Module], str] = {nn.Tanh: "tanh", nn.ReLU: "relu"}
#: What the fused engine does itself; a subclass that overrides one of these keeps the torch engine.
REPLACED = ("act", "evaluate", "evaluate_critic", "extract_features", "_head_parameters", "_critic_outputs")
PLAIN_ADAM = {"weight_decay": 0, "amsgrad": False, "maximize": False, "capturable": False, "differentiable": False}


@dataclass(frozen=True)
class MlpSpec:
    """The layers of an actor-critic; the activation stands between layers, and after each shared one."""

    shared: tuple[nn.Linear, ...]  # what both networks look through; usually nothing
    actor: tuple[nn.Linear, ...]
    critic: tuple[nn.Linear, ...]
    activation: str  # "tanh" or "relu"
    log_std: nn.Parameter | None  # [A], the state-independent half of the head's parameters

    @property
    def actor_parameters(self) -> list[nn.Parameter]:
        """Weight and bias layer by layer, then log_std; what is shared is the actor's, and first."""
        return [*_parameters((*self.shared, *self.actor)), *([] if self.log_std is None else [self.log_std])]

    @property
    def critic_parameters(self) -> list[nn.Parameter]:
        """Weight and bias layer by layer."""
        return _parameters(self.critic)


def recognise(policy: ActorCriticPolicy) -> MlpSpec | str:
    """The layers of a plain MLP policy with plain Adam, in float32 on the CPU; else, in short, what stands against it.

    Cheap enough to be asked before each `learn`: structure, hooks, frozen parameters and optimiser are looked at anew.
    """
    return _unlike_mlp_policy(policy) or _layers(policy)


def _unlike_mlp_policy(policy: ActorCriticPolicy) -> str:
    changed = [name for name in REPLACED if getattr(type(policy), name) is not getattr(ActorCriticPolicy, name)]
    if changed:
        return f"policy: {type(policy).__name__} has its own {changed[0]}"
    space = policy.observation_space
    if not (isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)):
        return f"observations: {type(space).__name__}" + (f" of {space.dtype}" if space.dtype else "")
    extractors = {policy.features_extractor, policy.pi_features_extractor, policy.vf_features_extractor}
    for module in extractors:
        if type(module) not in (FlattenExtractor, SharedMlp):
            return f"policy: {type(module).__name__} instead of FlattenExtractor"
    if type(policy.mlp_extractor) is not MlpExtractor:
        return f"policy: {type(policy.mlp_extractor).__name__} instead of MlpExtractor"
    if policy.q_critic:
        return "critic: Q(s, .)"
    return _unlike_adam(policy)


def _unlike_adam(policy: ActorCriticPolicy) -> str:
    optimizer = policy.optimizer
    if type(optimizer) is not torch.optim.Adam:
        return f"optimizer: {type(optimizer).__name__}"
    if len(optimizer.param_groups) != 1:
        return f"optimizer: {len(optimizer.param_groups)} parameter groups"
    if unusual := unusual_option(optimizer):
        return unusual
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "optimizer: hooks"
    if {id(p) for p in optimizer.param_groups[0]["params"]} != {id(p) for p in policy.parameters()}:
        return "optimizer: does not hold the policy's parameters"
    return ""


def _layers(policy: ActorCriticPolicy) -> MlpSpec | str:
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
    return _unusual(policy, [*spec.actor_parameters, *spec.critic_parameters]) or spec


def _unusual(policy: ActorCriticPolicy, used: list[nn.Parameter]) -> str:
    """What about parameters and hooks the fused engine would silently get wrong."""
    if len({id(p) for p in used}) < len(used):
        return "parameters: shared between layers"
    extra = {id(p) for p in policy.parameters()} - {id(p) for p in used}
    for name, p in policy.named_parameters():
        if id(p) in extra:
            return f"parameters: {name} is of no plain layer"
        if p.dtype != torch.float32 or p.device.type != "cpu":
            return f"parameters: {p.dtype} on {p.device}".replace("torch.", "")
        if not p.requires_grad:
            return f"parameters: {name} is frozen"
        if has_hooks(p):
            return f"hooks: on {name}"
    return hooks(policy)


def unusual_option(optimizer: torch.optim.Optimizer) -> str:
    """The option of an Adam of one group that the fused engine would not heed; "" if none."""
    group = optimizer.param_groups[0]
    return next((f"optimizer: {name}={group[name]}" for name, plain in PLAIN_ADAM.items() if group[name] != plain), "")


def has_hooks(p: nn.Parameter) -> bool:
    """Whether something is to be called with a parameter's gradient."""
    return bool(p._backward_hooks or p._post_accumulate_grad_hooks)


def hooks(policy: nn.Module) -> str:
    """Where code of the user's listens to a module, in short; "" if nowhere."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooked = [name for name, module in policy.named_modules() if any(getattr(module, kind) for kind in kinds)]
    return f"hooks: on {hooked[0] or 'the policy'}" if hooked else ""


def _linear(modules: Iterable[nn.Module]) -> tuple[nn.Linear, ...]:
    return tuple(module for module in modules if isinstance(module, nn.Linear))


def _parameters(layers: Iterable[nn.Linear]) -> list[nn.Parameter]:
    return [p for layer in layers for p in layer.parameters(recurse=False)]
