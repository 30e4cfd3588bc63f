"""Heads of discrete actions: any divergence's f-softargmax, on Discrete, MultiDiscrete and MultiBinary spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import Tensor

from ..distributions import FSoftargmaxCategorical, ProductCategorical
from ..geometry.divergences import KL, Divergence, divergence_from_name
from .heads import Head, register_head


@dataclass(frozen=True)
class CategoricalHead:
    """f-softargmax over n actions; the parameters are the logits (mirror-dual variables), P = n."""

    name: str
    n_actions: int
    divergence: Divergence
    temperature: float = 1.0
    reference: tuple[float, ...] | None = None
    has_log_std: bool = False

    @property
    def net_size(self) -> int:
        """One logit per action."""
        return self.n_actions

    param_size = net_size

    def __call__(self, parameters: Tensor, mask: Tensor | None = None) -> FSoftargmaxCategorical:
        """The categorical with logits [B, A]."""
        reference = None if self.reference is None else parameters.new_tensor(self.reference)
        return FSoftargmaxCategorical(
            parameters, self.divergence, self.temperature, reference, mask, validate_args=False
        )


@dataclass(frozen=True)
class ProductHead:
    """One f-softargmax per component of a MultiDiscrete action; logits side by side, P = sum(sizes)."""

    name: str
    sizes: tuple[int, ...]
    divergence: Divergence
    temperature: float = 1.0
    has_log_std: bool = False

    @property
    def net_size(self) -> int:
        """One logit per action of each component."""
        return sum(self.sizes)

    param_size = net_size

    def __call__(self, parameters: Tensor, mask: Tensor | None = None) -> ProductCategorical:
        """The product with logits [B, sum(sizes)]."""
        return ProductCategorical(parameters, self.sizes, self.divergence, self.temperature, mask, validate_args=False)


@dataclass(frozen=True)
class BinaryHead:
    """One two-action f-softargmax per bit, with scores (0, z): a sigmoid for softmax, as SB3's; P = n."""

    name: str
    n_bits: int
    divergence: Divergence
    temperature: float = 1.0
    has_log_std: bool = False

    @property
    def net_size(self) -> int:
        """One score per bit."""
        return self.n_bits

    param_size = net_size

    def __call__(self, parameters: Tensor, mask: Tensor | None = None) -> ProductCategorical:
        """The product with scores [B, n]; mask [B, 2 n]: (0 valid, 1 valid) of each bit."""
        logits = torch.stack([torch.zeros_like(parameters), parameters], dim=-1).flatten(-2)
        sizes = (2,) * self.n_bits
        return ProductCategorical(logits, sizes, self.divergence, self.temperature, mask, validate_args=False)


def discrete_head(
    name: str,
    divergence: Divergence,
    action_space: spaces.Space,
    temperature: float,
    reference: Sequence[float] | None,
) -> Head:
    """The head of a divergence on a discrete space.

    Raises:
        ValueError: for another space, a temperature <= 0, or a reference that is no distribution over the actions.
    """
    if isinstance(action_space, spaces.Discrete):
        return _categorical(name, divergence, action_space, temperature, reference)
    if reference is not None:
        raise ValueError(f"reference={reference!r}: only a Discrete action space takes one, not {action_space}")
    FSoftargmaxCategorical(torch.zeros(1, 2), divergence, temperature)  # checks the temperature
    if isinstance(action_space, spaces.MultiDiscrete) and action_space.nvec.ndim == 1:
        if (action_space.start != 0).any():
            raise ValueError(f"action space {action_space}: MultiDiscrete spaces must start at 0")
        return ProductHead(name, tuple(int(n) for n in action_space.nvec), divergence, float(temperature))
    if isinstance(action_space, spaces.MultiBinary) and len(action_space.shape) == 1:
        return BinaryHead(name, int(action_space.shape[0]), divergence, float(temperature))
    raise ValueError(
        f"head={name!r} needs a Discrete action space, or a one-dimensional MultiDiscrete or MultiBinary one, "
        f"got {action_space}; on a Box, 'binned:11/{name}' makes one per dimension"
    )


def _categorical(
    name: str,
    divergence: Divergence,
    action_space: spaces.Discrete,
    temperature: float,
    reference: Sequence[float] | None,
) -> CategoricalHead:
    if action_space.start != 0:
        raise ValueError(f"action space {action_space}: Discrete spaces must start at 0")
    n_actions = int(action_space.n)
    fixed = None if reference is None else tuple(float(q) for q in reference)
    if fixed is not None and len(fixed) != n_actions:
        raise ValueError(f"reference={reference!r}: needs {n_actions} probabilities, one per action")
    # The hot path skips checks that read tensors, so the distribution checks temperature and reference here.
    weights = None if fixed is None else torch.tensor(fixed)
    FSoftargmaxCategorical(torch.zeros(1, n_actions), divergence, temperature, weights)
    return CategoricalHead(name, n_actions, divergence, float(temperature), fixed)


def divergence_of_head(name: str) -> Divergence:
    """The generator of a categorical head's name: KL for "softmax", else the divergence of that name.

    Raises:
        ValueError: for an unknown name or a bad argument.
    """
    if name.startswith("softmax:"):
        raise ValueError("softmax takes no argument")
    return KL() if name == "softmax" else divergence_from_name(name)


def _register(family: str) -> None:
    def build(
        argument: str | None, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
    ) -> Head:
        name = family if argument is None else f"{family}:{argument}"
        try:
            divergence = divergence_of_head(name)
        except ValueError as error:
            raise ValueError(f"head={name!r}: {error}") from error
        return discrete_head(name, divergence, action_space, temperature, reference)

    register_head(family, build)


for _family in ("softmax", "tsallis", "reverse_kl", "js", "chi2", "hellinger"):
    _register(_family)
