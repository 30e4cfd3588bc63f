"""Actions from head parameters without torch: noise drawn once per rollout, turned into actions step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces

from ...distributions import BinnedBox, FSoftargmaxCategorical, ProductCategorical
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


def make_sampler(head: Head, action_space: spaces.Space) -> Sampler | str:
    """The sampler of a head, or why there is none."""
    if isinstance(head, GaussianHead):
        assert isinstance(action_space, spaces.Box)
        return LocationScaleSampler(head.alpha, action_space)
    if isinstance(head, CategoricalHead | ProductHead | BinaryHead | BinnedHead):
        return FactorSampler(head, action_space)
    return f"head={head.name!r}: no sampler without torch"


class LocationScaleSampler:
    """Gaussian and q-Gaussian: location + scale * noise, clipped to the bounds of the Box for execution."""

    def __init__(self, alpha: float, action_space: spaces.Box) -> None:
        self.alpha, self.shape, self.size = alpha, action_space.shape, math.prod(action_space.shape)
        self.low, self.high = (bound.reshape(-1).astype(np.float32) for bound in (action_space.low, action_space.high))

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
        np.multiply(np.exp(parameters[:, self.size :]), noise, out=actions)
        actions += parameters[:, : self.size]
        return np.minimum(np.maximum(actions, self.low), self.high).reshape(-1, *self.shape)


@dataclass(frozen=True)
class FactorSampler:
    """Categorical factors, each by the inverse of its distribution function at a uniform number."""

    head: Any
    action_space: spaces.Space

    def noise(self, n_steps: int, n_envs: int) -> np.ndarray:
        """A uniform number per factor."""
        factors = math.prod(self.action_space.shape or ())
        return np.random.random_sample((n_steps, n_envs, factors)).astype(np.float32)

    def __call__(self, parameters: np.ndarray, noise: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The first action whose cumulated probability exceeds the uniform number."""
        probs = self._probabilities(parameters)  # [N, K, A]
        cumulated = probs.cumsum(-1)
        below = cumulated <= (noise * cumulated[..., -1])[..., None]
        index = np.minimum(below.sum(-1), self._last(probs))
        values = self._values(index)
        actions[...] = values.reshape(actions.shape)
        return values.reshape(-1, *(self.action_space.shape or ()))

    @staticmethod
    def _last(probs: np.ndarray) -> np.ndarray:
        """The last action of positive probability, where rounding leads beyond it."""
        return probs.shape[-1] - 1 - (probs[..., ::-1] > 0).argmax(-1)

    def _probabilities(self, parameters: np.ndarray) -> np.ndarray:
        head = self.head
        if isinstance(head, CategoricalHead) and head.divergence == KL() and head.reference is None:
            scores = (parameters - parameters.max(-1, keepdims=True)) / np.float32(head.temperature)
            return np.exp(scores)[:, None]
        with torch.no_grad():
            policy = head(torch.from_numpy(parameters))
            if isinstance(policy, FSoftargmaxCategorical):
                return policy.probs.unsqueeze(1).numpy()
            product = policy.bins if isinstance(policy, BinnedBox) else policy
            assert isinstance(product, ProductCategorical)
            return product.factors.probs.numpy()

    def _values(self, index: np.ndarray) -> np.ndarray:
        """Indices [N, K] as actions; a binned head's values lie on a grid."""
        head = self.head
        if not isinstance(head, BinnedHead):
            return index
        low, high = np.float32(head.low), np.float32(head.high)
        return low + index.astype(np.float32) * ((high - low) / np.float32(head.n_bins - 1))
