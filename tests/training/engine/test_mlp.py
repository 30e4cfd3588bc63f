"""Which policies the fused engine takes, and what it says of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from agents.policies import CnnPolicy, MlpPolicy
from agents.training.engine.mlp import MlpSpec, recognise

VECTORS = spaces.Box(-1, 1, (3,))


def policy_of(action_space: spaces.Space | None = None, **kwargs: Any) -> MlpPolicy:
    return MlpPolicy(VECTORS, action_space or spaces.Box(-1, 1, (2,)), lambda _: 3e-3, net_arch=[8], **kwargs)


def frozen(policy: MlpPolicy) -> None:
    policy.value_net.bias.requires_grad_(False)


def forward_hook(policy: MlpPolicy) -> None:
    policy.action_net.register_forward_hook(lambda *_: None)


def shared(policy: MlpPolicy) -> None:
    policy.mlp_extractor.value_net[0].weight = policy.mlp_extractor.policy_net[0].weight
    policy.optimizer = torch.optim.Adam(policy.parameters())


def swapped(policy: MlpPolicy) -> None:
    policy.load_state_dict(policy_of().state_dict(), assign=True)
    policy.value_net.bias = nn.Parameter(policy.value_net.bias.detach())


def more(policy: MlpPolicy) -> None:
    policy.more = nn.Linear(1, 1)
    policy.optimizer = torch.optim.Adam(policy.parameters())


def no_bias(policy: MlpPolicy) -> None:
    policy.action_net = nn.Linear(8, 2, bias=False)
    policy.optimizer = torch.optim.Adam(policy.parameters())


def no_activation(policy: MlpPolicy) -> None:
    policy.mlp_extractor.value_net = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 8))
    policy.optimizer = torch.optim.Adam(policy.parameters())


class Scaled(MlpPolicy):
    def evaluate(self, obs: Any) -> Any:
        return super().evaluate(obs)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (lambda: policy_of(activation_fn=nn.ELU), "activation: ELU"),
        (lambda: policy_of(optimizer_class=torch.optim.SGD), "optimizer: SGD"),
        (lambda: policy_of(optimizer_class=torch.optim.AdamW), "optimizer: AdamW"),
        (lambda: policy_of(optimizer_kwargs={"weight_decay": 0.1}), "optimizer: weight_decay=0.1"),
        (lambda: policy_of(optimizer_kwargs={"amsgrad": True}), "optimizer: amsgrad=True"),
        (lambda: policy_of(spaces.Discrete(2), q_critic=True), "critic: Q(s, .)"),
        (lambda: policy_of().double(), "parameters: float64 on cpu"),
        (lambda: Scaled(VECTORS, spaces.Discrete(2), lambda _: 1e-3), "policy: Scaled has its own evaluate"),
        (
            lambda: MlpPolicy(spaces.Discrete(3), spaces.Discrete(2), lambda _: 1e-3),
            "observations: Discrete of int64",
        ),
        (
            lambda: CnnPolicy(spaces.Box(0, 255, (1, 36, 36), np.uint8), spaces.Discrete(2), lambda _: 1e-3),
            "observations: Box of uint8",
        ),
        (frozen, "parameters: value_net.bias is frozen"),
        (forward_hook, "hooks: on action_net"),
        (shared, "parameters: shared between layers"),
        (swapped, "optimizer: does not hold the policy's parameters"),
        (no_bias, "layers: Linear Tanh Linear"),
        (no_activation, "layers: Linear Linear Linear"),
        (more, "parameters: more.weight is of no plain layer"),
    ],
)
def test_other_policies_are_refused_with_the_reason(policy: Any, reason: str) -> None:
    if policy.__name__ != "<lambda>":
        change, changed = policy, policy_of()
        change(changed)
        assert recognise(changed) == reason
    else:
        assert recognise(policy()) == reason


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("net_arch", [[], [4], {"pi": [4, 5], "vf": []}])
@pytest.mark.parametrize("activation_fn", [nn.Tanh, nn.ReLU])
def test_plain_policies_are_recognised(activation_fn: type[nn.Module], net_arch: Any, share: bool) -> None:
    policy = MlpPolicy(
        spaces.Box(-1, 1, (2, 3), np.float64),
        spaces.MultiDiscrete([2, 3]),
        lambda _: 1e-3,
        net_arch=net_arch,
        activation_fn=activation_fn,
        share_features_extractor=share,
    )
    spec = recognise(policy)
    assert isinstance(spec, MlpSpec)
    assert spec.actor[0].in_features == 6 and spec.actor[-1] is policy.action_net
    assert spec.critic[-1] is policy.value_net
    assert len(spec.actor_parameters) + len(spec.critic_parameters) == len(list(policy.parameters()))


@pytest.mark.parametrize("share", [True, False])
def test_layers_below_both_networks(share: bool) -> None:
    policy = policy_of(
        features_extractor_class="SharedMlp",
        features_extractor_kwargs={"net_arch": [6, 5]},
        share_features_extractor=share,
    )
    spec = recognise(policy)
    assert isinstance(spec, MlpSpec)
    widths = [[layer.out_features for layer in layers] for layers in (spec.shared, spec.actor, spec.critic)]
    assert widths == ([[6, 5], [8, 2], [8, 1]] if share else [[], [6, 5, 8, 2], [6, 5, 8, 1]])
    assert len(spec.actor_parameters) + len(spec.critic_parameters) == len(list(policy.parameters()))
    kwargs = {"features_extractor_kwargs": {"activation_fn": "ReLU"}, "share_features_extractor": share}
    mixed = policy_of(features_extractor_class="SharedMlp", **kwargs)
    assert recognise(mixed) == "activation: ReLU, Tanh"
