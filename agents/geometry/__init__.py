"""The mathematics that all sides share: f-divergences and the f-softargmax. Torch, and Numba where there is one."""

from .acceleration import use_kernels
from .divergences import (
    DIVERGENCES,
    KL,
    ChiSquare,
    Hellinger,
    JensenShannon,
    ReverseKL,
    Tsallis,
    divergence_from_name,
)
from .generator import Divergence
from .projection import dual_variables, project_logits, project_policy
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
    "dual_variables",
    "f_conjugate",
    "f_log_softargmax",
    "f_softargmax",
    "project_logits",
    "project_policy",
    "use_kernels",
]
