"""When does Lin-SPG, softmax policy gradient on pi = softmax(X theta), find the best arm? (arXiv 2505.03155)

X [K, d] holds a feature vector per arm, r [K] the mean rewards in any order; arm 1 is the best, arm K the worst.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from .checks import Array, finite_array
from .steps import warn_beyond

MARGIN = 1e-7  # of unit-size weights and features: order is kept if the linear programme finds more


@dataclass(frozen=True)
class Convergence:
    """What is known about Lin-SPG from every start: `verdict` and the `reasons` for it, with all that was computed.

    verdict: "proved" or "refuted" (a theorem decides), or "unknown"; the reasons say what holds. `converges` is True,
    False, or None where no theorem decides.
    """

    verdict: str
    reasons: tuple[str, ...]
    approximation_error: float
    order_weights: Array | None
    features_hold: bool
    exact_rate: float
    stochastic_rate: float

    @property
    def converges(self) -> bool | None:
        return {"proved": True, "refuted": False}.get(self.verdict)

    def __str__(self) -> str:
        return "\n  - ".join((self.verdict, *self.reasons))


def will_converge(X: ArrayLike, r: ArrayLike, eta: float | None = None) -> Convergence:
    """Whether exact Lin-SPG with an admissible rate reaches the best arm from every start, and why.

    K <= 3 is decided exactly. For more arms a best arm that no weights can rank first is refuted, and the rest unknown:
    reward order (by linear programme) and the pairwise feature condition together, which decide K = 3, do not suffice.
    With x = (a, 0, 1), (0, 0, 0), (p, 1, 0), (p, -1, 0), best first, both hold; arm 2 traps far starts if a > p > 0.
    The approximation error decides nothing, in either direction. An `eta` beyond the admissible exact rate is warned
    about.

    Raises:
        ValueError: for shapes that don't fit, fewer than two arms, or arms of equal reward.
    """
    X, r = _arms(X, r)
    if eta is not None:
        warn_beyond("eta", eta, exact_rate(X, r), "exact Lin-SPG, 4 / (9 R_max lambda_max(X^T X))")
    weights = order_preserving_weights(X, r)
    violated = violated_features(X, r)
    verdict, reasons = _decide(X, r, weights is not None, violated)
    error = approximation_error(X, r)
    return Convergence(verdict, reasons, error, weights, not violated, exact_rate(X, r), stochastic_rate(X, r))


def _decide(X: Array, r: Array, ordered: bool, violated: list[tuple[int, int]]) -> tuple[str, tuple[str, ...]]:
    order = "some w puts X w in the order of r" if ordered else "no w puts X w in the order of r"
    features = "every <x_j - x_k, x_1 - x_k> > 0, 1 < j < k"
    if violated:
        features = f"<x_j - x_k, x_1 - x_k> <= 0 for the arms (j, k) = {', '.join(map(str, violated[:3]))}"
        features += f" and {len(violated) - 3} more" if len(violated) > 3 else ""
    reasons = (order, features)
    if _separating_weights(X[r.argmax()] - np.delete(X, r.argmax(), axis=0)) is None:
        return "refuted", (*reasons, "no w ranks the best arm first, so its probability cannot approach 1")
    if len(r) <= 3:
        return _decide_three(X[np.argsort(-r)], ordered, violated, reasons)
    if ordered and not violated:
        return "unknown", (*reasons, "more than 3 arms: both together do not suffice, some instances lose far starts")
    return "unknown", (*reasons, "more than 3 arms: neither is known to be necessary, so some starts may fail or none")


def _decide_three(
    ranked: Array, ordered: bool, violated: list[tuple[int, int]], reasons: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """The exact answer for K <= 3 arms, best first, of which the first can be ranked first."""
    if ordered and not violated:
        return "proved", (*reasons, f"{len(ranked)} arms: both together suffice")
    first, second, third = ranked
    if (second == third).all():
        return "proved", (*reasons, "arms 2 and 3 share their features: log pi(1) / pi(2) only grows")
    if not ordered:
        return "refuted", (*reasons, "3 arms on a line, the worst inside: starts far enough towards arm 2 stay there")
    if (second - third) @ (first - third) == 0.0:
        return "unknown", (*reasons, "3 arms: the boundary of the condition, which no theorem covers")
    return "refuted", (*reasons, "3 arms: starts at C (x_3 - x_1), C large, are trapped at arm 3")


def approximation_error(X: ArrayLike, r: ArrayLike) -> float:
    """min_w |X w - r|_2."""
    X, r = _arms(X, r)
    return float(np.linalg.norm(X @ np.linalg.lstsq(X, r, rcond=None)[0] - r))


def order_preserving_weights(X: ArrayLike, r: ArrayLike) -> Array | None:
    """w [d] with X w in the order of r, or None if there is none: a linear programme over the K - 1 neighbours in r.

    The theorems need it; K >= 4 has instances that converge without.
    """
    X, r = _arms(X, r)
    ranked = X[np.argsort(-r)]
    return _separating_weights(ranked[:-1] - ranked[1:])


def violated_features(X: ArrayLike, r: ArrayLike) -> list[tuple[int, int]]:
    """Pairs of arms (j, k), best < j < k in the order of r, with <x_j - x_k, x_1 - x_k> <= 0; as indices into r.

    None violated is the paper's condition for 3 arms; for more it is not enough, although near the vertex of arm k only
    the pairs with k matter, and log pi(1) / pi(k) grows by sum_j pi(j) (r(j) - r(k)) <x_j - x_k, x_1 - x_k>.
    """
    X, r = _arms(X, r)
    ranks = np.argsort(-r)
    best, others = ranks[0], ranks[1:]
    pairs = ((int(j), int(k)) for at, k in enumerate(others) for j in others[:at])
    return [(j, k) for j, k in pairs if not (X[j] - X[k]) @ (X[best] - X[k]) > 0.0]


def non_domination(X: ArrayLike) -> bool:
    """<x_i, x_i> > <x_i, x_j> for all i != j: the earlier condition (arXiv 2504.02130), which is not sufficient."""
    X = finite_array("X", X, (None, None))
    gram = X @ X.T
    return bool((np.diag(gram)[:, None] > gram)[~np.eye(len(X), dtype=bool)].all())


def npg_will_converge(X: ArrayLike, r: ArrayLike) -> bool:
    """Whether natural policy gradient converges: the least-squares fit of r ranks the best arm first, alone."""
    X, r = _arms(X, r)
    fitted = X @ np.linalg.lstsq(X, r, rcond=None)[0]
    best = r.argmax()
    return bool((np.delete(fitted, best) < fitted[best]).all())


def exact_rate(X: ArrayLike, r: ArrayLike) -> float:
    """4 / (9 R_max lambda_max(X^T X)): exact updates converge for smaller eta."""
    X, r = _arms(X, r)
    return 4.0 / (9.0 * float(np.abs(r).max()) * float(_eigenvalues(X)[-1]))


def stochastic_rate(X: ArrayLike, r: ArrayLike) -> float:
    """min{1 / (6 l^1.5 sqrt(2 R_max)), m / (6 rho l^2)}: the tuned stochastic rate, rho = 8 R_max^3 K^1.5 / gap^2.

    l and m are the largest and the smallest positive eigenvalue of X^T X (theta never moves in its null space), gap is
    the least difference of two arms. Any constant rate converges almost surely; this one at O(1/T).
    """
    X, r = _arms(X, r)
    eigenvalues = _eigenvalues(X)
    largest, smallest = float(eigenvalues[-1]), float(eigenvalues[0])
    bound, gap = float(np.abs(r).max()), float(np.diff(np.sort(r)).min())
    rho = 8.0 * bound**3 * len(r) ** 1.5 / gap**2
    return min(1.0 / (6.0 * largest**1.5 * (2.0 * bound) ** 0.5), smallest / (6.0 * rho * largest**2))


def _eigenvalues(X: Array) -> Array:
    """The positive eigenvalues of X^T X, ascending."""
    singular = np.linalg.svd(X, compute_uv=False)[::-1]
    return np.square(singular[singular > singular[-1] * max(X.shape) * np.finfo(float).eps])


def _separating_weights(differences: Array) -> Array | None:
    """w [d] with |w|_inf <= 1 and <difference, w> > 0 for every row, or None: max t s.t. <difference, w> >= t."""
    n_rows, n_features = differences.shape
    lengths = np.linalg.norm(differences, axis=1, keepdims=True)
    if not lengths.all():
        return None
    constraints = np.hstack([-differences / lengths, np.ones((n_rows, 1))])
    bounds = [(-1.0, 1.0)] * n_features + [(None, None)]
    found = linprog(np.r_[np.zeros(n_features), -1.0], constraints, np.zeros(n_rows), bounds=bounds)
    if not found.success:
        raise RuntimeError(f"the linear programme of the reward order failed: {found.message}")
    return found.x[:-1] if found.x[-1] > MARGIN else None


def _arms(X: ArrayLike, r: ArrayLike) -> tuple[Array, Array]:
    X = finite_array("X", X, (None, None))
    r = finite_array("r", r, (len(X),))
    if len(r) < 2:
        raise ValueError(f"r: has {len(r)} arm, must have at least 2")
    if not X.any():
        raise ValueError("X: all features are 0, so theta moves nothing")
    ranks = np.argsort(r)
    ties = np.flatnonzero(np.diff(r[ranks]) == 0.0)
    if len(ties):
        first, second = sorted(int(i) for i in ranks[ties[0] : ties[0] + 2])
        raise ValueError(f"r[{first}]=r[{second}]={r[first]}: the theory is for distinct rewards")
    return X, r
