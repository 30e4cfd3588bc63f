"""Instances of Lin-SPG with four arms and two features, arms in the order of their rewards."""

from __future__ import annotations

import numpy as np

from agents.tabular.checks import Array

INSTANCES = {
    "paper 1": ([[0, -2], [-1, 0], [0, 1], [2, 0]], [9, 8, 7, 6]),
    "paper 2": ([[0, -2], [0, 1], [-1, 0], [2, 0]], [9, 8, 7, 6]),
    "equal error, good": ([[1.2, -3.6], [-0.2, -1.0], [-0.2, 0.3], [0.1, 0.6]], [9, 8, 7, 6]),
    "equal error, bad": ([[-1.3, -0.7], [1.7, -0.09168962480246538], [-3.2, 0.6], [-1.3, -0.6]], [9, 8, 7, 6]),
    "realisable": ([[0.9, -1.5], [0.6, 3.0], [0.3, 0.0], [0.0, -3.0]], [3, 2, 1, 0]),
    "no order": ([[0, 1], [0.5, 0], [-1, 0], [1, 0]], [9, 8, 7, 6]),
}


def arms(name: str) -> tuple[Array, Array]:
    """X [4, 2] and r [4] of an instance."""
    X, r = INSTANCES[name]
    return np.array(X, np.float64), np.array(r, np.float64)
