"""Action heads: parameters [B, P] -> distribution, one small object per (name, action space).

A name is "softmax", "tsallis:0.5", "gaussian", ...: a registered factory and its argument. `register_head` adds one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Distribution

from ..distributions import DiagonalGaussian, FSoftargmaxCategorical
from ..geometry.divergences import KL, Divergence, Tsallis
from ..suggest import closest


class Head(Protocol):
    """What turns the actor's output into an action distribution.

    `net_size` numbers come from the last linear layer; `param_size` is P, the number of parameters that the rollout
    buffer stores per row. They differ when the head has state-independent parameters (`log_std` of a Gaussian).
    """

    @property
    def name(self) -> str:
        """As given to `make_head`."""
        ...

    @property
    def net_size(self) -> int:
        """Outputs of the last linear layer."""
        ...

    @property
    def param_size(self) -> int:
        """P."""
        ...

    @property
    def has_log_std(self) -> bool:
        """Whether the policy owns a state-independent `log_std` [net_size]."""
        ...

    def __call__(self, parameters: Tensor, mask: Tensor | None = None) -> Distribution:
        """The distribution with parameters [B, P]; `mask` [B, A] (True: valid action) where the head has one."""
        ...


HeadFactory = Callable[[str | None, spaces.Space, float, "Sequence[float] | None"], Head]
HEADS: dict[str, HeadFactory] = {}


def register_head(name: str, factory: HeadFactory) -> None:
    """Make `head="name"` and `head="name:argument"` available.

    `factory(argument, action_space, temperature, reference)` returns a `Head`, or raises ValueError where the action
    space does not suit it.

    Raises:
        ValueError: if the name is taken.
    """
    if name in HEADS:
        raise ValueError(f"head {name!r} is registered already")
    HEADS[name] = factory


def default_head(action_space: spaces.Space) -> str:
    """The head of SB3: "gaussian" on Box, "softmax" elsewhere."""
    return "gaussian" if isinstance(action_space, spaces.Box) else "softmax"


def make_head(
    head: str | None,
    action_space: spaces.Space,
    temperature: float = 1.0,
    reference: Sequence[float] | None = None,
) -> Head:
    """The head called `head` (None: SB3's own) for an action space.

    Raises:
        ValueError: for an unknown name, a bad argument, or an action space that the head does not cover.
    """
    name, _, argument = (head or default_head(action_space)).partition(":")
    if name not in HEADS:
        raise ValueError(f"head={head!r}: unknown head{closest(name, HEADS)} Known: {', '.join(sorted(HEADS))}")
    return HEADS[name](argument or None, action_space, temperature, reference)


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
        """Outputs of the last linear layer."""
        return self.n_actions

    param_size = net_size

    def __call__(self, parameters: Tensor, mask: Tensor | None = None) -> FSoftargmaxCategorical:
        """The categorical with logits [B, A]."""
        reference = None if self.reference is None else parameters.new_tensor(self.reference)
        return FSoftargmaxCategorical(
            parameters, self.divergence, self.temperature, reference, mask, validate_args=False
        )


@dataclass(frozen=True)
class GaussianHead:
    """Diagonal Gaussian with a state-independent log standard deviation; parameters [mean, log_std], P = 2 D."""

    action_dim: int
    name: str = "gaussian"
    has_log_std: bool = True

    @property
    def net_size(self) -> int:
        """Outputs of the last linear layer: the mean."""
        return self.action_dim

    @property
    def param_size(self) -> int:
        """Mean and log standard deviation."""
        return 2 * self.action_dim

    def __call__(self, parameters: Tensor, mask: Tensor | None = None) -> DiagonalGaussian:
        """The Gaussian with mean and log standard deviation [B, D] each."""
        if mask is not None:
            raise ValueError("mask: continuous actions can't be masked")
        mean, log_std = torch.split(parameters, self.action_dim, dim=-1)
        return DiagonalGaussian(mean, log_std)


def _categorical(name: str, divergence: Divergence) -> HeadFactory:
    def build(
        argument: str | None, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
    ) -> Head:
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"head={name!r} needs a Discrete action space, got {action_space}")
        if action_space.start != 0:
            raise ValueError(f"action space {action_space}: Discrete spaces must start at 0")
        n_actions = int(action_space.n)
        fixed = None if reference is None else tuple(float(q) for q in reference)
        if fixed is not None and len(fixed) != n_actions:
            raise ValueError(f"reference={reference!r}: needs {n_actions} probabilities, one per action")
        # The hot path skips checks that read tensors, so the distribution checks temperature and reference here.
        FSoftargmaxCategorical(
            torch.zeros(1, n_actions), divergence, temperature, None if fixed is None else torch.tensor(fixed)
        )
        return CategoricalHead(name, n_actions, divergence, float(temperature), fixed)

    return build


def _softmax(
    argument: str | None, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
) -> Head:
    if argument is not None:
        raise ValueError(f"head='softmax:{argument}': softmax takes no argument")
    return _categorical("softmax", KL())(None, action_space, temperature, reference)


def _tsallis(
    argument: str | None, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
) -> Head:
    try:
        alpha = float(argument or "")
    except ValueError:
        alpha = float("nan")
    if not 0 < alpha < 1:
        raise ValueError(f"head='tsallis:{argument or ''}': alpha must be a number in (0, 1), as in 'tsallis:0.5'")
    return _categorical(f"tsallis:{alpha:g}", Tsallis(alpha))(None, action_space, temperature, reference)


def _gaussian(
    argument: str | None, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
) -> Head:
    if argument is not None:
        raise ValueError(f"head='gaussian:{argument}': gaussian takes no argument")
    if not isinstance(action_space, spaces.Box):
        raise ValueError(f"head='gaussian' needs a Box action space, got {action_space}")
    if temperature != 1.0 or reference is not None:
        raise ValueError("head='gaussian' has no temperature and no reference")
    return GaussianHead(int(torch.Size(action_space.shape).numel()))


register_head("softmax", _softmax)
register_head("tsallis", _tsallis)
register_head("gaussian", _gaussian)
