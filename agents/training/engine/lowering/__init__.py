"""Losses written in torch, run without it: traced once with their gradients, then NumPy or one Numba loop over rows."""

from .lower import LoweredGradient, make_gradient

__all__ = ["LoweredGradient", "make_gradient"]
