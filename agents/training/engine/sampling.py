"""Actions from head parameters without torch: noise drawn once per rollout, turned into actions step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces

from ...distributions import BinnedBox, ProductCategorical
from ...geometry import KL
from ...policies.box_heads import BinnedHead, GaussianHead
from ...policies.discrete_heads import BinaryHead, CategoricalHead, ProductHead
from ...policies.heads import Head


class Sampler(Protocol):
    """How the actions of one family of heads are drawn; N environments."""

    def noise(self, n_steps: int, n_envs: int) -> np.ndarray:
        """The randomness of a whole rollout, [T, N, K], from NumPy's global generator."""
        ...

    def __call__(self, parameters: np.ndarray, noise: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Write the actions for parameters [N, P] and noise [N, K] into a row of the buffer; what to execute."""
        ...


def make_sampler(head: Head, action_space: spaces.Space, executor: str = "numpy") -> Sampler | str:
    """The sampler of a head by "numba" or "numpy", or why there is none."""
    if isinstance(head, GaussianHead):
        assert isinstance(action_space, spaces.Box)
        return LocationScaleSampler(head.alpha, action_space, executor)
    if isinstance(head, CategoricalHead | ProductHead | BinaryHead | BinnedHead):
        return FactorSampler(head, action_space, executor)
    return f"head={head.name!r}: no sampler without torch"


class LocationScaleSampler:
    """Gaussian and q-Gaussian: location + scale * noise, clipped to the bounds of the Box for execution."""

    def __init__(self, alpha: float, action_space: spaces.Box, executor: str = "numpy") -> None:
        self.alpha, self.shape, self.size = alpha, action_space.shape, math.prod(action_space.shape)
        self.low, self.high = (bound.reshape(-1).astype(np.float32) for bound in (action_space.low, action_space.high))
        self._space, self._rounds = action_space, action_space.dtype != np.float32
        self._transform = _location_scale
        if executor == "numba":
            from .numba_sampling import location_scale

            self._transform = location_scale

    def noise(self, n_steps: int, n_envs: int) -> np.ndarray:
        """Standard draws of the family."""
        shape = n_steps, n_envs, self.size
        if self.alpha == 1:
            draws = np.random.standard_normal(shape)
        elif self.alpha < 1:
            draws = np.random.standard_t(2 / (1 - self.alpha) - 1, shape)
        else:
            m = 1 / (self.alpha - 1)
            draws = math.sqrt(2 * m + 1) * (2 * np.random.beta(m + 1, m + 1, shape) - 1)
        return draws.astype(np.float32)

    def __call__(self, parameters: np.ndarray, noise: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """location + scale * noise; executed within the bounds."""
        executed = np.empty_like(noise)
        self._transform(parameters, noise, self.low, self.high, actions, executed)
        if self._rounds:  # bounds in another precision: an action would be beyond them
            return _within(self._space, actions)
        return executed.reshape(-1, *self.shape)


def _within(space: spaces.Box, actions: np.ndarray) -> np.ndarray:
    return np.clip(actions.reshape(-1, *space.shape), space.low, space.high)


def _location_scale(
    parameters: np.ndarray, noise: np.ndarray, low: np.ndarray, high: np.ndarray, actions: np.ndarray, out: np.ndarray
) -> None:
    np.multiply(np.exp(parameters[:, len(low) :]), noise, out=actions)
    actions += parameters[:, : len(low)]
    np.minimum(np.maximum(actions, low), high, out=out)


class FactorSampler:
    """Categorical factors, each by the inverse of its distribution function at a uniform number."""

    def __init__(self, head: Any, action_space: spaces.Space, executor: str = "numpy") -> None:
        self.head, self.shape, self._space = head, action_space.shape or (), action_space
        self.factors = math.prod(self.shape)
        self._grid: tuple[np.ndarray, np.ndarray] | None = None  # lowest value and distance of values
        if isinstance(head, BinnedHead):
            low, high = np.array(head.low, np.float32), np.array(head.high, np.float32)
            self._grid = low, (high - low) / np.float32(head.n_bins - 1)
        self._draw, self._weights = _draw, self._torch_weights
        self._rows, self._columns = _equal_factors(head), _unequal_factors(head)
        one_by_one = self._rows is not None or self._columns is not None
        form, softmax = head.divergence.tsallis_form, head.divergence == KL()
        self._operator: Callable[..., None] = _softmax_weights
        self._operands: tuple[float, ...] = (head.temperature,)
        if one_by_one and softmax:
            self._weights = self._own_weights
        if executor == "numba":
            from .numba_sampling import dense_weights, draw, softmax_weights

            self._draw, self._operator = draw, softmax_weights
            if one_by_one and form is not None and form[0] < 1:
                self._operator, self._weights = dense_weights, self._own_weights
                self._operands = form[0], form[1] * head.temperature

    def noise(self, n_steps: int, n_envs: int) -> np.ndarray:
        """A uniform number per factor."""
        return np.random.random_sample((n_steps, n_envs, self.factors)).astype(np.float32)

    def __call__(self, parameters: np.ndarray, noise: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The first action of each factor whose cumulated probability exceeds the uniform number."""
        index = np.empty(noise.size, np.int64)
        self._draw(self._weights(parameters), noise.reshape(-1), index)
        values = self._values(index.reshape(noise.shape))
        actions[...] = values.reshape(actions.shape)
        if isinstance(self._space, spaces.Box):  # a bin may be beyond the bounds by rounding
            return _within(self._space, values)
        return values.reshape(-1, *self.shape)

    def _own_weights(self, parameters: np.ndarray) -> np.ndarray:
        """Weights [N K, A]; those of shorter factors end in zeros."""
        if self._columns is None:
            assert self._rows is not None
            return self._operated(self._rows(parameters))
        weights = np.zeros((len(parameters), self.factors, max(c.stop - c.start for c in self._columns)), np.float32)
        for k, columns in enumerate(self._columns):
            own = self._operated(np.ascontiguousarray(parameters[:, columns]))
            weights[:, k, : own.shape[1]] = own
        return weights.reshape(-1, weights.shape[-1])

    def _operated(self, scores: np.ndarray) -> np.ndarray:
        weights = np.empty(scores.shape, np.float32)
        self._operator(scores, *self._operands, weights)
        return weights

    def _torch_weights(self, parameters: np.ndarray) -> np.ndarray:
        """Probabilities [N K, A] of any head's factors, padded likewise."""
        with torch.no_grad():
            policy = self.head(torch.from_numpy(parameters))
            product = policy.bins if isinstance(policy, BinnedBox) else policy
            factors = product.factors if isinstance(product, ProductCategorical) else product
            return factors.probs.flatten(0, -2).numpy()

    def _values(self, index: np.ndarray) -> np.ndarray:
        """Indices [N, K] as actions; a binned head's values lie on a grid."""
        return index if self._grid is None else self._grid[0] + index.astype(np.float32) * self._grid[1]


def _equal_factors(head: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    """How parameters [N, P] are read as scores [N K, A] of factors of equal size; None where they are not that."""
    if isinstance(head, CategoricalHead) and head.reference is None:
        return lambda parameters: parameters
    if isinstance(head, BinaryHead):
        return lambda parameters: np.stack([np.zeros_like(parameters), parameters], -1).reshape(-1, 2)
    sizes = {head.n_bins} if isinstance(head, BinnedHead) else set(getattr(head, "sizes", ()))
    if len(sizes) != 1 or getattr(head, "ordinal", False):
        return None
    size = sizes.pop()
    return lambda parameters: parameters.reshape(-1, size)


def _unequal_factors(head: Any) -> list[slice] | None:
    """The columns of each factor of a product head with factors of several sizes; None for other heads."""
    if not isinstance(head, ProductHead) or len(set(head.sizes)) == 1:
        return None
    ends = np.cumsum(head.sizes).tolist()
    return [slice(end - size, end) for end, size in zip(ends, head.sizes, strict=True)]


def _draw(weights: np.ndarray, noise: np.ndarray, index: np.ndarray) -> None:
    cumulated = weights.cumsum(-1)
    beyond = (cumulated <= (noise * cumulated[:, -1])[:, None]).sum(-1)
    last = weights.shape[1] - 1 - (weights[:, ::-1] > 0).argmax(-1)  # where rounding leads beyond it
    np.minimum(beyond, last, out=index)


def _softmax_weights(scores: np.ndarray, temperature: float, weights: np.ndarray) -> None:
    np.exp((scores - scores.max(-1, keepdims=True)) / np.float32(temperature), out=weights)
