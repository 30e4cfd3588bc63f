"""Slopes: the rates that experiments report."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """dy/dx of the least-squares line through the points.

    Raises:
        ValueError: fewer than two points, or one that is not finite.
    """
    points = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
    if points.shape[1] < 2 or not np.isfinite(points).all():
        finite = int(np.isfinite(points).all(0).sum())
        raise ValueError(f"slope: needs two finite points or more, got {points.shape[1]} of which {finite} are finite")
    across, up = points - points.mean(1, keepdims=True)
    return float(across @ up / (across @ across))


def rate(gaps: ArrayLike, high: float = 1e-2, low: float = 1e-10) -> float:
    """d log(gap) / dt over the iterations t whose gap lies between `low` and `high`: of a linear convergence."""
    gaps = np.asarray(gaps, np.float64)
    (within,) = np.nonzero((gaps <= high) & (gaps >= low))
    return slope(within, np.log(gaps[within]))


def power(gaps: ArrayLike, start: int) -> float:
    """d log(gap) / d log(t) from iteration `start` (from 1 on): -1 is O(1/t)."""
    gaps = np.asarray(gaps, np.float64)
    times = np.unique(np.geomspace(start, len(gaps), 200).astype(int))
    return slope(np.log(times), np.log(gaps[times - 1]))


def first_below(curve: ArrayLike, level: float) -> float:
    """The first index at which a curve is at most `level`; inf if it never is."""
    (found,) = np.nonzero(np.asarray(curve) <= level)
    return float(found[0]) if len(found) else float("inf")
