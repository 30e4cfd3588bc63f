"""Heads of continuous actions: Gaussian, q-Gaussian, and a categorical on a grid per dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Distribution

from ..distributions import BinnedBox, DiagonalGaussian, FSoftargmaxCategorical, QGaussian
from ..geometry.divergences import Divergence
from .discrete_heads import divergence_of_head
from .heads import Head, register_head


@dataclass(frozen=True)
class GaussianHead:
    """Diagonal Gaussian with a state-independent log standard deviation; parameters [mean, log_std], P = 2 D.

    With `alpha` the q-Gaussian of that index, whose log scale takes the place of log_std.
    """

    name: str
    action_dim: int
    alpha: float = 1.0
    has_log_std: bool = True

    @property
    def net_size(self) -> int:
        """The mean."""
        return self.action_dim

    @property
    def param_size(self) -> int:
        """Mean and log standard deviation."""
        return 2 * self.action_dim

    def __call__(self, parameters: Tensor, mask: Tensor | None = None) -> Distribution:
        """The distribution with location and log scale [B, D] each."""
        _refuse(mask)
        location, log_scale = torch.split(parameters, self.action_dim, dim=-1)
        if self.alpha == 1:
            return DiagonalGaussian(location, log_scale)
        return QGaussian(location, log_scale, self.alpha)


@dataclass(frozen=True)
class BinnedHead:
    """A categorical over n_bins values from low to high per dimension; parameters are the logits, P = D n_bins."""

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    n_bins: int
    ordinal: bool
    divergence: Divergence
    temperature: float = 1.0
    has_log_std: bool = False

    @property
    def net_size(self) -> int:
        """One logit per bin and dimension."""
        return len(self.low) * self.n_bins

    param_size = net_size

    def __call__(self, parameters: Tensor, mask: Tensor | None = None) -> BinnedBox:
        """The grid distribution with logits [B, D n_bins]."""
        _refuse(mask)
        low, high = parameters.new_tensor(self.low), parameters.new_tensor(self.high)
        return BinnedBox(
            parameters, low, high, self.n_bins, self.divergence, self.temperature, self.ordinal, validate_args=False
        )


def _refuse(mask: Tensor | None) -> None:
    if mask is not None:
        raise ValueError("mask: continuous actions can't be masked")


def _box(name: str, action_space: spaces.Space, reference: Sequence[float] | None) -> spaces.Box:
    if not isinstance(action_space, spaces.Box):
        raise ValueError(f"head={name!r} needs a Box action space, got {action_space}")
    if reference is not None:
        raise ValueError(f"head={name!r} has no reference")
    return action_space


def _gaussian(
    argument: str | None, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
) -> Head:
    if argument is not None:
        raise ValueError(f"head='gaussian:{argument}': gaussian takes no argument")
    return _location_scale("gaussian", 1.0, action_space, temperature, reference)


def _q_gaussian(
    argument: str | None, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
) -> Head:
    name = f"q_gaussian:{argument or ''}"
    try:
        alpha = float(argument or "")
    except ValueError:
        alpha = float("nan")
    if not 0 < alpha < float("inf"):
        raise ValueError(f"head={name!r}: alpha must be a positive number, as in 'q_gaussian:0.5'")
    return _location_scale(name, alpha, action_space, temperature, reference)


def _location_scale(
    name: str, alpha: float, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
) -> Head:
    box = _box(name, action_space, reference)
    if temperature != 1.0:
        raise ValueError(f"temperature={temperature!r}: head={name!r} has none, its scale is learnt")
    return GaussianHead(name, int(np.prod(box.shape)), alpha)


def _binned(
    argument: str | None, action_space: spaces.Space, temperature: float, reference: Sequence[float] | None
) -> Head:
    name = f"binned:{argument or ''}"
    grid, _, categorical = (argument or "").partition("/")
    bins, _, option = grid.partition(",")
    if not bins.isdigit() or int(bins) < 2 or option not in ("", "ordinal"):
        raise ValueError(f"head={name!r}: the form is 'binned:<bins >= 2>[,ordinal][/<categorical head>]'")
    try:
        divergence = divergence_of_head(categorical or "softmax")
    except ValueError as error:
        raise ValueError(f"head={name!r}: {error}") from error
    FSoftargmaxCategorical(torch.zeros(1, 2), divergence, temperature)  # checks the temperature
    box = _box(name, action_space, reference)
    low, high = (tuple(float(x) for x in bound.flatten()) for bound in (box.low, box.high))
    if not np.isfinite([low, high]).all():
        raise ValueError(f"head={name!r} needs finite bounds, got {action_space}")
    return BinnedHead(name, low, high, int(bins), option == "ordinal", divergence, float(temperature))


register_head("gaussian", _gaussian)
register_head("q_gaussian", _q_gaussian)
register_head("binned", _binned)
