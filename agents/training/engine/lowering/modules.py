"""Generated source, compiled once per machine: it is kept in a cache folder, where Numba keeps its machine code too."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def compiled(source: str) -> Callable[..., Any]:
    """The function `kernel` of a module; compiled in each process where no folder can be written.

    Raises:
        ImportError: without Numba.
    """
    import numba

    from . import numba_functions

    known = (source, inspect.getsource(numba_functions), numba.__version__)
    name = f"kernel_{hashlib.sha256(repr(known).encode()).hexdigest()[:24]}"
    path = _kept(name, source)
    if path is not None:
        try:
            return _executed(source, name, str(path), cache=True)
        except RuntimeError:  # Numba finds no place for the machine code
            pass
    return _executed(source, name, f"<{name}>", cache=False)


def _executed(source: str, name: str, path: str, cache: bool) -> Callable[..., Any]:
    module = ModuleType(name)
    module.__dict__["CACHE"] = cache
    sys.modules[name] = module  # machine code from the cache asks for it by name
    exec(compile(source, path, "exec"), module.__dict__)
    return module.__dict__["kernel"]


def _kept(name: str, source: str) -> Path | None:
    """The file of this source; never rewritten, since Numba would take that for a new version."""
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    path = Path(given or Path.home() / ".cache") / "mirrorzoo" / f"{name}.py"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_text(source)
            draft.replace(path)
    except OSError:
        return None
    return path
