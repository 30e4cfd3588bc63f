"""Numba's compiler with the settings of all kernels here; import it only where Numba is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

KERNELS = "geometry/kernels/*.py", "training/engine/numba_*.py", "jit.py"
#: Changes with every compiled file: Numba itself looks at the file of a function, not at those of its callees.
SOURCES = max(file.stat().st_mtime_ns for pattern in KERNELS for file in Path(__file__).parent.glob(pattern))


def compiled(*fastmath: str, **options: bool) -> Callable[[Callable[..., Any]], Any]:
    """Compile at the first call, without the GIL, with the liberties given; kept on disk where there is a folder."""

    def decorate(function: Callable[..., Any]) -> Any:
        settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath), **options}
        try:
            dispatcher: Any = njit(function, cache=True, **settings)
        except RuntimeError:  # no folder that could be written to
            return njit(function, **settings)
        index = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)  # NUMBA_DISABLE_JIT: no dispatcher
        if index is not None:
            index._source_stamp = index._source_stamp, SOURCES
        return dispatcher

    return decorate
