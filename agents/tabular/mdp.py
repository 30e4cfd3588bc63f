"""Finite Markov decision processes, solved exactly in float64."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from ..geometry import Divergence
from .checks import Array, discount, distributions, finite_array, transitions
from .markov import Chain, DenseTransitions, NoTransitions, SparseTransitions
from .operators import divergence_of, softargmax

EPS = float(np.finfo(np.float64).eps)


class FiniteMDP:
    """A finite discounted MDP on arrays; policies are [S, A], or [..., S, A] for independent runs side by side.

    Args:
        P: P[s, a, s'] = Pr(s' | s, a): [S, A, S], or a SciPy sparse matrix [S A, S] whose row s A + a is P[s, a].
        r: expected rewards [S, A].
        gamma: discount in [0, 1).
        rho: start distribution [S].

    Raises:
        ValueError: naming the field, the index and the value.
    """

    def __init__(self, P: Any, r: ArrayLike, gamma: float, rho: ArrayLike) -> None:
        self.r = finite_array("r", r, (None, None))
        self.n_states, self.n_actions = self.r.shape
        self.P = transitions(P, self.n_states, self.n_actions)
        self.gamma = discount(gamma)
        self.rho = distributions("rho", rho, (self.n_states,))
        dense = isinstance(self.P, np.ndarray)
        self._transitions: NoTransitions | DenseTransitions | SparseTransitions = (
            NoTransitions() if self.gamma == 0.0 else (DenseTransitions if dense else SparseTransitions)(self.P, gamma)
        )
        self._rows = self.P.reshape(-1, self.n_states) if dense else self.P

    @classmethod
    def bandit(cls, r: ArrayLike) -> FiniteMDP:
        """The bandit with mean rewards r [A]: one state, gamma = 0."""
        r = finite_array("r", r, (None,))
        return cls(np.ones((1, len(r), 1)), r[None], 0.0, [1.0])

    def __repr__(self) -> str:
        kind = "dense" if isinstance(self.P, np.ndarray) else "sparse"
        return f"FiniteMDP({self.n_states} states, {self.n_actions} actions, gamma={self.gamma}, {kind})"

    def evaluate(self, policy: Array, penalty: ArrayLike | None = None) -> tuple[Array, Array, Array]:
        """V [..., S], Q [..., S, A] and A = Q - V [..., S, A] of a policy [..., S, A].

        `penalty` [..., S] is subtracted from each state's reward: V(s) = E sum gamma^t (r(s_t, a_t) - penalty(s_t)) and
        Q(s, a) = r(s, a) - penalty(s) + gamma E V(s').
        """
        policy = self._checked(policy)
        if penalty is not None:
            penalty = np.asarray(penalty, dtype=np.float64)
            if penalty.shape not in {(self.n_states,), policy.shape[:-1]}:
                raise ValueError(f"penalty: has shape {penalty.shape}, must have shape [S] = ({self.n_states},)")
        return self.values(self.chain(policy), policy, penalty)

    def visitation(self, policy: Array) -> Array:
        """d(s) = (1 - gamma) sum_t gamma^t Pr(s_t = s) from rho, [..., S]; sums to 1."""
        return self.visits(self.chain(self._checked(policy)))

    def chain(self, policy: Array) -> Chain:
        """The factorised Markov chain of a policy: what `values` and `visits` share. Only the shape is checked."""
        if policy.shape[-2:] != self.r.shape:
            raise ValueError(f"policy: has shape {policy.shape}, must end in [S, A] = {self.r.shape}")
        return self._transitions.chain(policy)

    def values(self, chain: Chain, policy: Array, penalty: Array | None = None) -> tuple[Array, Array, Array]:
        """`evaluate` on a chain that is at hand."""
        rewards = self.r if penalty is None else self.r - penalty[..., None]
        V = chain.solve((policy * rewards).sum(-1))
        Q = rewards + self.gamma * self.expected(V)
        return V, Q, Q - (policy * Q).sum(-1, keepdims=True)

    def visits(self, chain: Chain) -> Array:
        """`visitation` on a chain that is at hand."""
        return (1.0 - self.gamma) * chain.solve_transposed(self.rho)

    def expected(self, V: Array) -> Array:
        """E[V(s') | s, a]: [..., S] -> [..., S, A]."""
        rows = V.reshape(-1, self.n_states).T
        return (self._rows @ rows).T.reshape(*V.shape[:-1], self.n_states, self.n_actions)

    def optimal(self) -> tuple[Array, Array, Array]:
        """V* [S], Q* [S, A] and a deterministic optimal policy [S, A], by policy iteration.

        Actions whose values differ by rounding alone count as ties: the one found first stays.
        """
        V, Q, greedy = self._optimum
        return V.copy(), Q.copy(), np.eye(self.n_actions)[greedy]

    def suboptimality(self, policy: Array) -> Array:
        """V*(s) - V(s) of a policy [..., S, A], [..., S], to full relative precision however small it is.

        By the performance difference lemma it is the value of the regrets sum_a pi(a|s) (V*(s) - Q*(s, a)), a sum
        without cancellation.
        """
        policy = self._checked(policy)
        _, Q, _ = self._optimum
        return self.chain(policy).solve((policy * (Q.max(-1, keepdims=True) - Q)).sum(-1))

    def optimal_regularized(
        self, divergence: Divergence, coef: float, reference: ArrayLike | None = None
    ) -> tuple[Array, Array, Array]:
        """V [S], Q [S, A] and policy [S, A] that maximise E sum gamma^t (r - coef D_f(pi(s_t) || reference)).

        The fixed point of V = max_p <p, Q> - coef D_f(p || reference), Q = r + gamma E V (before the current penalty),
        pi = f-softargmax(Q / coef), found by regularised policy iteration: Newton's method on it, with exact solves.
        Reference [A] or [S, A], None is uniform. (arXiv 2601.12604)

        Raises:
            ValueError: for a coefficient below 0.
        """
        if not coef >= 0.0:
            raise ValueError(f"coef={coef!r}: must be at least 0")
        if coef == 0.0:
            return self.optimal()
        q = None if reference is None else distributions("reference", np.atleast_2d(reference), (None, self.n_actions))
        V, last = self._optimum[0], np.inf
        while True:
            Q = self.r + self.gamma * self.expected(V)
            policy = softargmax(Q, divergence, coef, q)
            better, _, _ = self.values(self.chain(policy), policy, coef * divergence_of(policy, divergence, q))
            change = float(np.abs(better - V).max())
            V = better
            # The convergence is quadratic: a change that is small and no longer shrinks is rounding.
            if change <= 4 * EPS * np.abs(V).max() or (change >= last and change <= 1e-9 * np.abs(V).max()):
                return V, self.r + self.gamma * self.expected(V), policy
            last = change

    @cached_property
    def _optimum(self) -> tuple[Array, Array, np.ndarray]:
        """V* [S], Q* [S, A] and the greedy action [S]."""
        states = np.arange(self.n_states)
        greedy = self._rough_values().argmax(-1)
        while True:
            policy = np.eye(self.n_actions)[greedy]
            V, Q, _ = self.values(self.chain(policy), policy)
            rounding = 8.0 * EPS * np.abs(Q).max() / (1.0 - self.gamma)
            better = Q.max(-1) > Q[states, greedy] + rounding
            if not better.any():
                return V, Q, greedy
            greedy = np.where(better, Q.argmax(-1), greedy)

    def _rough_values(self, sweeps: int = 5000) -> Array:
        """Q [S, A] after some value iteration: policy iteration alone carries news one state per solve."""
        V = np.zeros(self.n_states)
        for _ in range(sweeps):
            Q = self.r + self.gamma * self.expected(V)
            V, last = Q.max(-1), V
            if np.abs(V - last).max() <= 8.0 * EPS * np.abs(V).max():
                break
        return Q

    def sample_next(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """s' ~ P(. | s, a) for int64 states and actions [...], by inversion."""
        pairs = states * self.n_actions + actions
        return self.next_states(pairs, rng.random(pairs.shape))

    def next_states(self, pairs: np.ndarray, uniforms: Array) -> np.ndarray:
        """The same of indices s A + a [...] and numbers from U[0, 1) [...]."""
        thresholds, targets, last = self._inverse
        if len(targets) == len(last):  # deterministic: one transition a row
            return targets[pairs]
        found = np.searchsorted(thresholds, pairs + uniforms, side="right")
        return targets[np.minimum(found, last[pairs])]  # the sum may have rounded up to the next row

    @cached_property
    def _inverse(self) -> tuple[Array, np.ndarray, np.ndarray]:
        """Of every possible transition row + cumulated probability and its target; of every row its last transition."""
        rows = sparse.csr_array(self._rows, copy=True)
        rows.eliminate_zeros()
        starts = np.concatenate([[0.0], np.cumsum(rows.data)])[rows.indptr]
        row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        thresholds = row + (np.cumsum(rows.data) - starts[row]) / np.diff(starts)[row]
        return thresholds, rows.indices.astype(np.int64), rows.indptr[1:] - 1

    def _checked(self, policy: Array) -> Array:
        return distributions("policy", policy, (*np.shape(policy)[:-2], *self.r.shape))
