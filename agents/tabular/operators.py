"""The f-softargmax and the f-divergences on NumPy arrays: softmax in plain NumPy, the rest by `agents.geometry`."""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import Divergence, f_log_softargmax
from .checks import Array

TINY = 1e-300  # the least probability of a policy of full support: log, 1/pi and f'(pi / q) stay finite


def log_softargmax(
    logits: Array, divergence: Divergence, temperature: float = 1.0, reference: Array | None = None
) -> Array:
    """log pi [..., A] of logits [..., A], pi = argmax_p <p, x> - temperature D_f(p || reference)."""
    if divergence.tsallis_form != (1.0, 1.0):
        found = f_log_softargmax(_tensor(logits), divergence, temperature, _reference(reference))
        return found.numpy()
    scores = logits if temperature == 1.0 else logits / temperature
    if reference is not None:
        with np.errstate(divide="ignore"):
            scores = scores + np.log(reference)
    scores = scores - scores.max(-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def softargmax(
    logits: Array, divergence: Divergence, temperature: float = 1.0, reference: Array | None = None
) -> Array:
    """pi [..., A]: exact zeros off a sparse support; at least 1e-300 for a generator of full support."""
    probs = np.exp(log_softargmax(logits, divergence, temperature, reference))
    if divergence.full_support:
        np.maximum(probs, TINY, out=probs, where=True if reference is None else reference > 0.0)
    return probs


def divergence_of(probs: Array, divergence: Divergence, reference: Array | None = None) -> Array:
    """D_f(probs || reference), [..., A] -> [...]; reference None is uniform."""
    return divergence.divergence(_tensor(probs), _reference(reference)).numpy()


def ratio(probs: Array, reference: Array | None = None) -> Array:
    """u = pi / q, [..., A]; 1 where neither has mass."""
    if reference is None:
        return probs * probs.shape[-1]
    return np.divide(probs, reference, out=np.ones_like(probs), where=np.broadcast_to(reference > 0.0, probs.shape))


def f_prime_of(probs: Array, divergence: Divergence, reference: Array | None = None) -> Array:
    """f'(pi / q), [..., A]: up to a constant per state the logits of pi."""
    return divergence.f_prime(_tensor(ratio(probs, reference))).numpy()


def sensitivity(probs: Array, divergence: Divergence, reference: Array | None = None) -> Array:
    """w = q / f''(pi / q), [..., A], 0 off the support: the Jacobian of the f-softargmax is diag w - w w^T / sum w."""
    if divergence.tsallis_form == (1.0, 1.0):
        return probs
    inside = probs > 0.0
    u = np.where(inside, ratio(probs, reference), 1.0)
    q = 1.0 / probs.shape[-1] if reference is None else reference
    return np.where(inside, q / divergence.f_second(_tensor(u)).numpy(), 0.0)


def jacobian_product(weights: Array, direction: Array) -> Array:
    """(diag w - w w^T / sum w) v for w, v [..., A]: the change of pi, and by symmetry the pull-back of a cotangent."""
    shares = weights / weights.sum(-1, keepdims=True)
    centred = np.where(weights > 0.0, direction, 0.0)
    for _ in range(2):  # again: the action that dominates w has lost its digits
        centred = centred - (shares * centred).sum(-1, keepdims=True)
    return weights * centred


def _tensor(array: Array) -> torch.Tensor:
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _reference(reference: Array | None) -> torch.Tensor | None:
    return None if reference is None else _tensor(np.asarray(reference, dtype=np.float64))
