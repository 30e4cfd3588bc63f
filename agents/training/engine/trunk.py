"""The networks of a plain MLP actor-critic without torch: forward, backward, and what executes them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ...suggest import check_choice
from .flat import FlatParameters
from .lean_numba import import_numba
from .mlp import MlpSpec

EXECUTORS = ("auto", "numba", "numpy")


class Trunk(Protocol):
    """Actor and critic over a flat buffer of parameters; arrays are float32, results valid until the next call."""

    @property
    def name(self) -> str:
        """Of the executor."""
        ...

    @property
    def gradient(self) -> np.ndarray:
        """The flat gradient that `backward` fills, in the order of `FlatParameters`."""
        ...

    def actor(self, observations: np.ndarray) -> np.ndarray:
        """The head's parameters [N, P] at observations [N, D]; columns of log_std last where the head has them."""
        ...

    def critic(self, observations: np.ndarray) -> np.ndarray:
        """Values [N] of observations [N, D]."""
        ...

    def forward(self, observations: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters [B, P] and values [B] at chosen rows [B] of observations [R, D], remembered for `backward`."""
        ...

    def forward_critic(self, observations: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Values [B] alone, remembered for `backward(None, d_values)`."""
        ...

    def backward(self, d_parameters: np.ndarray | None, d_values: np.ndarray | None) -> None:
        """Fill the gradient of the actor from d_parameters [B, P] and of the critic from d_values [B], where given."""
        ...


def executor_named(executor: str) -> str:
    """ "numba" or "numpy"; "auto" is Numba where it is installed and compiles.

    Raises:
        ValueError: for another name.
    """
    check_choice("executor", executor, EXECUTORS)
    if executor != "auto":
        return executor
    try:
        compiles = import_numba()
    except ImportError:  # absent, or not made for this NumPy
        return "numpy"
    return "numba" if compiles else "numpy"


def make_trunk(spec: MlpSpec, flat: FlatParameters, executor: str = "auto") -> Trunk:
    """The networks of `spec`, whose parameters are in `flat`, by an executor; with shared layers by NumPy."""
    if executor_named(executor) == "numba" and not spec.shared:
        from .numba_trunk import NumbaTrunk

        return NumbaTrunk(spec, flat)
    from .numpy_trunk import NumpyTrunk

    return NumpyTrunk(spec, flat)
