"""Torch distributions over the f-softargmax and beside it: what a policy is at a state."""

from .base import ActionDistribution, clamped_log_prob
from .categorical import FSoftargmaxCategorical
from .gaussian import DiagonalGaussian

__all__ = ["ActionDistribution", "DiagonalGaussian", "FSoftargmaxCategorical", "clamped_log_prob"]
