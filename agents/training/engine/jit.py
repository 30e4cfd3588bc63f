"""Numba's compiler with the settings of the fused engine; import it only where Numba is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(*fastmath: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile at the first call, without the GIL, with the liberties given; kept on disk where there is a folder for it.

    Numba notices changes of the file of a function, not of its callees in other files: what is compiled together
    belongs in one file.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
        try:
            return njit(function, cache=True, **settings)
        except RuntimeError:  # no folder that could be written to
            return njit(function, **settings)

    return decorate
