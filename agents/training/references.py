"""Reference policies of a regulariser: uniform, initial, a snapshot every k updates, a checkpoint."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import torch
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor
from torch.distributions import Distribution

from .arguments_json import from_json
from .safe_zip import read
from .spaces_json import space_from_json

if TYPE_CHECKING:
    from ..policies import ActorCriticPolicy


def check_reference(name: str) -> None:
    """Refuse a malformed `reg_reference` before anything is built.

    Raises:
        ValueError: naming the value and the forms there are.
    """
    kind, _, argument = name.partition(":")
    if name in ("uniform", "initial") or (kind == "snapshot" and argument.isdigit() and int(argument) > 0):
        return
    if not os.path.isfile(name):
        raise ValueError(
            f"reg_reference={name!r}: must be 'uniform', 'initial', 'snapshot:<k updates>' or a checkpoint file"
        )


class ReferencePolicy:
    """A frozen policy beside the one that learns; `uniform` is none at all, which distributions know by themselves.

    Its weights are state: they are saved with the model, so that a loaded run goes on against the same reference.
    """

    def __init__(self, name: str, policy: ActorCriticPolicy) -> None:
        check_reference(name)
        self.every = int(name.partition(":")[2]) if name.startswith("snapshot:") else 0
        self.policy = (
            None if name == "uniform" else _frozen(_from_checkpoint(name, policy) if os.path.isfile(name) else policy)
        )

    def __call__(self, observations: PyTorchObs, masks: Tensor | None) -> Distribution | None:
        """The reference distribution at observations [B, ...]; None is uniform."""
        return None if self.policy is None else self.policy.head(self.parameters(observations), masks)

    @torch.no_grad()
    def parameters(self, observations: PyTorchObs) -> Tensor:
        """The reference network's head parameters [B, P] at observations [B, ...]; not for the uniform reference."""
        assert self.policy is not None
        return self.policy.evaluate(observations)[0]

    def after_update(self, n_update: int, policy: ActorCriticPolicy) -> None:
        """Renew a snapshot after every k-th update."""
        if self.every and n_update % self.every == 0:
            assert self.policy is not None
            self.policy.load_state_dict(policy.state_dict())

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, to be saved."""
        return {} if self.policy is None else self.policy.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put saved weights back."""
        if self.policy is not None:
            self.policy.load_state_dict(state)


def _from_checkpoint(path: str, like: ActorCriticPolicy) -> ActorCriticPolicy:
    """The policy in a file, with its own network and head; it sees the observations that `like` sees.

    Raises:
        ValueError: if its spaces are others.
    """
    header, tensors = read(path)
    for kind in ("observation_space", "action_space"):
        theirs, ours = space_from_json(header[kind]), getattr(like, kind)
        if theirs != ours:
            raise ValueError(f"reg_reference={path!r}: its {kind.replace('_', ' ')} is {theirs}, this one's is {ours}")
    kwargs = from_json("policy_kwargs", header["arguments"]["policy_kwargs"], {}) or {}
    q_critic = header["arguments"].get("advantage") == "dense"
    policy = type(like)(like.observation_space, like.action_space, lambda _: 0.0, **kwargs, q_critic=q_critic)
    weights = {n.removeprefix("policy/"): torch.as_tensor(a) for n, a in tensors.items() if n.startswith("policy/")}
    policy.load_state_dict(weights)
    return policy.to(like.device)


def _frozen(policy: ActorCriticPolicy) -> ActorCriticPolicy:
    frozen = copy.deepcopy(policy)
    del frozen.optimizer
    frozen.set_training_mode(False)
    return frozen.requires_grad_(False)
