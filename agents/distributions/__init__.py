"""Torch distributions over the f-softargmax and beside it: what a policy is at a state."""

from .base import ActionDistribution, clamped_log_prob
from .binned import BinnedBox
from .categorical import FSoftargmaxCategorical
from .gaussian import DiagonalGaussian
from .product import ProductCategorical
from .q_gaussian import QGaussian

__all__ = [
    "ActionDistribution",
    "BinnedBox",
    "DiagonalGaussian",
    "FSoftargmaxCategorical",
    "ProductCategorical",
    "QGaussian",
    "clamped_log_prob",
]
