"""Finite decision processes as arrays, and an environment that steps by a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

if TYPE_CHECKING:
    from scipy import sparse


class TabularArrays(NamedTuple):
    """A finite Markov decision process with S states and A actions, in float64."""

    P: np.ndarray | sparse.csr_array  # Pr(s' | s, a): [S, A, S], or sparse [S A, S] with row s A + a
    r: np.ndarray  # [S, A] expected reward
    rho: np.ndarray  # [S] distribution of the first state


class Table(NamedTuple):
    """A deterministic process: what each action leads to and pays."""

    successor: np.ndarray  # [S, A] int64 next state
    reward: np.ndarray  # [S, A] float64
    start: int

    def arrays(self, sparse: bool = False) -> TabularArrays:
        """The same process as P, r, rho; P takes S^2 A numbers, or S A if sparse."""
        n_states, n_actions = self.successor.shape
        n_rows, columns = n_states * n_actions, self.successor.ravel()
        if sparse:
            from scipy.sparse import csr_array

            P: Any = csr_array((np.ones(n_rows), columns, np.arange(n_rows + 1)), shape=(n_rows, n_states))
        else:
            P = np.zeros((n_rows, n_states))
            P[np.arange(n_rows), columns] = 1.0
            P = P.reshape(n_states, n_actions, n_states)
        rho = np.zeros(n_states)
        rho[self.start] = 1.0
        return TabularArrays(P, self.reward.copy(), rho)


class TableEnv(gymnasium.Env[np.ndarray, np.int64]):
    """Steps by a `Table`; the last state of the table is terminal if `terminates`.

    Observations are one-hot vectors [D] float32 of the D states that are not terminal; the terminal one is all zeros.

    Args:
        table: the process.
        horizon: truncate after so many steps; None never does.
        terminates: whether the last state ends the episode.
        render_mode: None; there is nothing to see.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(
        self, table: Table, horizon: int | None = None, terminates: bool = False, render_mode: str | None = None
    ) -> None:
        self.table, self.horizon, self.render_mode = table, horizon, render_mode
        n_states, n_actions = table.successor.shape
        self.terminal = n_states - 1 if terminates else None
        self.n_observed = n_states - terminates
        self.observation_space = spaces.Box(0.0, 1.0, (self.n_observed,), np.float32)
        self.action_space = spaces.Discrete(n_actions)
        self.state, self.steps = table.start, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self.state, self.steps = self.table.start, 0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Pay reward[state, action] and go to successor[state, action]. ValueError for an action that is none."""
        if not 0 <= action < self.action_space.n:  # type: ignore[attr-defined]
            raise ValueError(f"action={action!r}: must lie in {self.action_space}")
        reward = float(self.table.reward[self.state, action])
        self.state = int(self.table.successor[self.state, action])
        self.steps += 1
        return self._observation(), reward, self.state == self.terminal, self.steps == self.horizon, {}

    def _observation(self) -> np.ndarray:
        observation = np.zeros(self.n_observed, np.float32)
        if self.state != self.terminal:
            observation[self.state] = 1.0
        return observation
