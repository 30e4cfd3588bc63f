"""Action heads: parameters [B, P] -> distribution, one small object per (name, action space).

A name is "softmax", "tsallis:0.5", "gaussian", "binned:11/softmax", ...: a registered factory and its argument.
`register_head` adds one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gymnasium import spaces
from torch import Tensor
from torch.distributions import Distribution

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
