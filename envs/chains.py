"""NChain and DeepSea: exploration problems of any size, as arrays and as environments that step by the same table.

Sources: the environments on which f-softargmax policy gradients were compared; DeepSea is bsuite's (Osband et al. 2020,
arXiv 1908.03568) without its randomness and with one meaning of the actions everywhere.
"""

from __future__ import annotations

import numpy as np

from . import checks
from .tabular import Table, TableEnv, TabularArrays

ENCODINGS = ("one_hot", "thermometer")


def _nchain(n: int) -> Table:
    """States 0 ... n - 1 in a row, actions 0 (left) and 1 (right); a step off either end stays there."""
    checks.integer("n", n, 2)
    states = np.arange(n)
    successor = np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, n - 1)], axis=1)
    reward = np.zeros((n, 2))
    reward[0, 0], reward[n - 1, 1] = 0.01, 1.0
    return Table(successor, reward, start=1)


def nchain_arrays(n: int = 10, sparse: bool = False) -> TabularArrays:
    """NChain without its time limit: P [n, 2, n] (sparse: CSR [2 n, n], row 2 s + a), r [n, 2], rho [n].

    Raises:
        ValueError: n < 2.
    """
    return _nchain(n).arrays(sparse)


class NChainEnv(TableEnv):
    """A chain of n states: 0.01 a step for staying at the left end, 1 a step for staying at the right one.

    The walk starts at state 1 and is cut off (truncated) after n + 8 steps. The way right takes n - 2 steps, so the
    best return is 10, for any n; that of the left end is 0.01 (n + 7).

    Args:
        n: states, at least 2.
        encoding: observations [n] float32: "one_hot", or "thermometer", ones up to the state (1[i <= s]). An agent that
            decodes the thermometer by argmax always reads state 0, so it is blind to the state.
        horizon: truncate after so many steps; None: n + 8.
        render_mode: None; there is nothing to see.

    Raises:
        ValueError: n or horizon out of range, or an unknown encoding.
    """

    def __init__(
        self, n: int = 10, encoding: str = "one_hot", horizon: int | None = None, render_mode: str | None = None
    ) -> None:
        table = _nchain(n)
        steps = n + 8 if horizon is None else checks.integer("horizon", horizon, 1)
        super().__init__(table, steps, render_mode=render_mode)
        self.encoding = checks.one_of("encoding", encoding, ENCODINGS)

    def _observation(self) -> np.ndarray:
        observation = super()._observation()
        if self.encoding == "thermometer":
            observation[: self.state] = 1.0
        return observation


def _deep_sea(size: int) -> Table:
    """Cells (row, column) of an N x N grid as states row N + column, and the terminal state N^2 below the last row.

    Each action sinks one row; 0 goes left and 1 right, not beyond the walls. Right costs 0.01 / N, and pays 1 in the
    last column, which only the diagonal reaches, in the last row.
    """
    checks.integer("size", size, 1)
    row, column = np.divmod(np.arange(size**2), size)
    beside = np.stack([np.maximum(column - 1, 0), np.minimum(column + 1, size - 1)], axis=1)
    successor = np.where((row == size - 1)[:, None], size**2, (row[:, None] + 1) * size + beside)
    reward = np.zeros((size**2, 2))
    reward[:, 1] = (column == size - 1) - 0.01 / size
    absorbing = np.full((1, 2), size**2)
    return Table(np.concatenate([successor, absorbing]), np.concatenate([reward, np.zeros((1, 2))]), start=0)


def deep_sea_arrays(size: int = 10, sparse: bool = False) -> TabularArrays:
    """DeepSea: P [S, 2, S] (sparse: CSR [2 S, S], row 2 s + a), r [S, 2], rho [S], with S = size^2 + 1.

    State row * size + column, including cells above the diagonal, which no walk reaches; the last state is the terminal
    one, absorbing at reward 0.

    Raises:
        ValueError: size < 1.
    """
    return _deep_sea(size).arrays(sparse)


class DeepSeaEnv(TableEnv):
    """An N x N grid that a diver sinks through in N steps: right N times pays 0.99 in all, any other way at most 0.

    Deterministic; the episode terminates with the last row. Observations are one-hot cells [N^2] float32, the last one
    all zeros.

    Args:
        size: N, at least 1.
        render_mode: None; there is nothing to see.

    Raises:
        ValueError: size < 1.
    """

    def __init__(self, size: int = 10, render_mode: str | None = None) -> None:
        super().__init__(_deep_sea(size), terminates=True, render_mode=render_mode)
