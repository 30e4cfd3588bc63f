"""What a finite MDP's arrays must satisfy; every error names the field, the index and the value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Array = NDArray[np.float64]
ROUNDING = 1e-8  # how far a sum of probabilities may be from 1


def finite_array(name: str, values: ArrayLike, shape: tuple[int | None, ...]) -> Array:
    """A float64 copy of the given shape (None: any length). Raises ValueError."""
    array = np.array(values, dtype=np.float64)
    fits = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name}: has shape {array.shape}, must have shape ({wanted})")
    if 0 in array.shape:
        raise ValueError(f"{name}: has shape {array.shape}, must not be empty")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        raise ValueError(f"{_entry(name, wrong[0])}={array[tuple(wrong[0])]}: must be finite")
    return array


def distributions(name: str, values: ArrayLike, shape: tuple[int | None, ...]) -> Array:
    """An array of the given shape whose last dimension holds distributions. Raises ValueError."""
    array = finite_array(name, values, shape)
    wrong = np.argwhere(array < 0.0)
    if len(wrong):
        raise ValueError(f"{_entry(name, wrong[0])}={array[tuple(wrong[0])]}: a probability must be at least 0")
    _check_sums(name, array.sum(-1))
    return array


def transitions(P: Any, n_states: int, n_actions: int) -> Array | sparse.csr_array:
    """P as float64 [S, A, S], or as CSR [S A, S] with row s A + a if it came sparse. Raises ValueError."""
    S, A = n_states, n_actions
    if not sparse.issparse(P):
        return distributions("P", P, (S, A, S))
    if P.shape != (S * A, S):
        raise ValueError(
            f"P: sparse of shape {P.shape}, must be [S A, S] = ({S * A}, {S}) to fit r of shape ({S}, {A})"
        )
    P = sparse.csr_array(P, dtype=np.float64, copy=True)
    P.sum_duplicates()
    for problem, wrong in (("must be finite", ~np.isfinite(P.data)), ("must be at least 0", P.data < 0.0)):
        if wrong.any():
            at = int(wrong.argmax())
            state, action = divmod(int(np.searchsorted(P.indptr, at, side="right")) - 1, A)
            raise ValueError(f"P[{state}, {action}, {P.indices[at]}]={P.data[at]}: a probability {problem}")
    _check_sums("P", np.asarray(P.sum(axis=1)).reshape(S, A))
    return P


def discount(gamma: float) -> float:
    """gamma in [0, 1). Raises ValueError."""
    if not 0.0 <= gamma < 1.0:
        raise ValueError(f"gamma={gamma!r}: must lie in [0, 1)")
    return float(gamma)


def _check_sums(name: str, sums: Array) -> None:
    wrong = np.argwhere(np.abs(sums - 1.0) > ROUNDING)
    if len(wrong):
        raise ValueError(f"{_entry(name, wrong[0])}: must be a distribution, sums to {sums[tuple(wrong[0])]}")


def _entry(name: str, index: NDArray[np.intp]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if len(index) else name
