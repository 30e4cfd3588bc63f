"""The mathematics that all sides share: f-divergences and the f-softargmax. Torch only."""

from .divergences import (
    DIVERGENCES,
    KL,
    ChiSquare,
    Divergence,
    Hellinger,
    JensenShannon,
    ReverseKL,
    Tsallis,
    divergence_from_name,
)
from .softargmax import f_conjugate, f_log_softargmax, f_softargmax

__all__ = [
    "DIVERGENCES",
    "KL",
    "ChiSquare",
    "Divergence",
    "Hellinger",
    "JensenShannon",
    "ReverseKL",
    "Tsallis",
    "divergence_from_name",
    "f_conjugate",
    "f_log_softargmax",
    "f_softargmax",
]
