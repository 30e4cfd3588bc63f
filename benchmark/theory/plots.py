"""Figures of one look: panels side by side, a grid, small legends."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.tabular.checks import Array


def panels(n_columns: int, n_rows: int = 1, width: float = 4.6, height: float = 3.7) -> tuple[Any, Any]:
    """A figure and its axes [n_rows, n_columns]; one row: [n_columns]; one panel: the axes itself."""
    import matplotlib.pyplot as plt

    size = width * n_columns + 0.6, height * n_rows
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
    for one in axes.flat:
        one.grid(alpha=0.3)
    return figure, axes[0, 0] if axes.size == 1 else axes[0] if n_rows == 1 else axes


def legend(axes: Any, **options: Any) -> None:
    """A small legend."""
    axes.legend(**{"fontsize": 8, "framealpha": 0.8, **options})


def thinned(curve: Array, points: int = 400) -> tuple[Array, Array]:
    """Iterations (from 1 on) and values of a long curve [T] at about so many indices, spread evenly over log t."""
    index = np.unique(np.geomspace(1, len(curve), points).astype(int)) - 1
    return index + 1.0, curve[index]
