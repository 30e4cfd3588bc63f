"""Numba where it is installed (`pip install 'mirrorzoo[fast]'`); everything works without it, slower."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any


@functools.cache
def load_kernel(module: str, name: str) -> Callable[..., Any] | None:
    """A compiled function from a module of this package; None without a Numba that fits the NumPy here, or its JIT."""
    try:
        kernel = getattr(import_module(f"{__package__}.{module}"), name)
    except ImportError:
        return None
    return kernel if hasattr(kernel, "signatures") else None  # NUMBA_DISABLE_JIT: it would run in Python


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, or take it from the cache of a run before; no cache where no folder can be written."""
    import numba

    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:
        return numba.njit(function)
