"""Numba's compiler with the settings of the fused engine; import it only where Numba is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

#: Changes with every compiled file here: Numba itself looks at the file of a function, not at those of its callees.
SOURCES = max(file.stat().st_mtime_ns for file in Path(__file__).parent.glob("numba_*.py"))


def compiled(*fastmath: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile at the first call, without the GIL, with the liberties given; kept on disk where there is a folder."""

    def decorate(function: Callable[..., Any]) -> Any:
        settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
        try:
            dispatcher: Any = njit(function, cache=True, **settings)
        except RuntimeError:  # no folder that could be written to
            return njit(function, **settings)
        index = getattr(dispatcher._cache, "_cache_file", None)
        if index is not None:
            index._source_stamp = index._source_stamp, SOURCES
        return dispatcher

    return decorate
