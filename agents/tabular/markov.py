"""The Markov chain that a policy makes of an MDP: one factorisation of I - gamma P_pi, solved from both sides.

Leading axes of a policy [..., S, A] are independent runs; each has its own chain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from scipy.sparse.linalg import splu

from .checks import Array


class Chain:
    """(I - gamma P_pi) x = b and its transpose, for b [..., S] with the leading axes of the policy."""

    def __init__(self, runs: tuple[int, ...], factors: list[Any], solve: Callable[[Any, Array, bool], Array]) -> None:
        self._runs, self._factors, self._solve = runs, factors, solve

    def solve(self, b: Array) -> Array:
        """x with (I - gamma P_pi) x = b: values of the state rewards b, [..., S] -> [..., S]."""
        return self._each(b, transposed=False)

    def solve_transposed(self, b: Array) -> Array:
        """x with x (I - gamma P_pi) = b: discounted visits from the start distribution b, [..., S] -> [..., S]."""
        return self._each(b, transposed=True)

    def _each(self, b: Array, transposed: bool) -> Array:
        if not self._runs:
            return self._solve(self._factors[0], b, transposed)
        b = np.broadcast_to(b, (*self._runs, b.shape[-1]))
        rows = zip(self._factors, b.reshape(-1, b.shape[-1]), strict=True)
        return np.stack([self._solve(factor, row, transposed) for factor, row in rows]).reshape(b.shape)


class NoTransitions:
    """gamma = 0, bandits: no state has a future, I - gamma P_pi is the identity."""

    def chain(self, policy: Array) -> Chain:
        """The chain of a policy [..., S, A]."""
        return Immediate(policy.shape[:-2])


class Immediate(Chain):
    """x = b, one for each run."""

    def __init__(self, runs: tuple[int, ...]) -> None:
        super().__init__(runs, [], lambda factor, b, transposed: b)

    def _each(self, b: Array, transposed: bool) -> Array:
        return np.array(np.broadcast_to(b, (*self._runs, b.shape[-1])))


class DenseTransitions:
    """P [S, A, S]; chains by LAPACK's LU."""

    def __init__(self, P: Array, gamma: float) -> None:
        self._P, self._gamma = P, gamma
        self._identity = np.eye(P.shape[0])

    def chain(self, policy: Array) -> Chain:
        """The chain of a policy [..., S, A]."""
        matrices = self._identity - self._gamma * (policy[..., None, :] @ self._P)[..., 0, :]
        size = matrices.shape[-1]
        # The transpose of a C-ordered matrix is what LAPACK takes without a copy; so the solves are transposed, too.
        factors = [lapack.dgetrf(matrix.T, overwrite_a=True)[:2] for matrix in matrices.reshape(-1, size, size)]
        return Chain(policy.shape[:-2], factors, _solve_dense)


class SparseTransitions:
    """P as CSR [S A, S]; chains by SuperLU on a sparsity pattern that is worked out once."""

    def __init__(self, P: sparse.csr_array, gamma: float) -> None:
        n_pairs, size = P.shape
        entries = P.tocoo()
        pairs, targets = entries.coords[0].astype(np.int64), entries.coords[1].astype(np.int64)
        states = pairs // (n_pairs // size)
        diagonal = np.arange(size) * (size + 1)
        cells, slots = np.unique(np.concatenate([diagonal, targets * size + states]), return_inverse=True)
        self._size, self._pairs, self._weights = size, pairs, -gamma * entries.data
        self._diagonal, self._slots = slots[:size], slots[size:]
        self._indices = (cells % size).astype(np.int32)
        self._indptr = np.searchsorted(cells, np.arange(size + 1) * size).astype(np.int32)
        # States in order of time make a triangular system, which any other order would fill in.
        self._ordering = "NATURAL" if (targets >= states).all() or (targets <= states).all() else "COLAMD"

    def chain(self, policy: Array) -> Chain:
        """The chain of a policy [..., S, A]."""
        factors = [self._factorise(probs) for probs in policy.reshape(-1, policy.shape[-2] * policy.shape[-1])]
        return Chain(policy.shape[:-2], factors, _solve_sparse)

    def _factorise(self, probs: Array) -> Any:
        data = np.bincount(self._slots, self._weights * probs[self._pairs], len(self._indices)).astype(np.float64)
        data[self._diagonal] += 1.0
        matrix = sparse.csc_matrix((data, self._indices, self._indptr), shape=(self._size, self._size))
        return splu(matrix, permc_spec=self._ordering)


def _solve_dense(factor: Any, b: Array, transposed: bool) -> Array:
    return lapack.dgetrs(*factor, b, trans=0 if transposed else 1)[0]


def _solve_sparse(factor: Any, b: Array, transposed: bool) -> Array:
    return factor.solve(np.ascontiguousarray(b), trans="T" if transposed else "N")
