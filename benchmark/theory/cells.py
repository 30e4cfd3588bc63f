"""How far an experiment is, said on standard output; and what its long computations gave, kept so that it can resume.

`kept` marks the functions in which experiments spend their time. Within `Cells.resumable`, a call of ten seconds or
more leaves its result in FOLDER/.cells/NAME-<digest>, digest of the settings and the experiment's text, and the same
call, told by how many came before it, finds it there after an interruption. All goes once the experiment is through.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from .registry import Item

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")  # an array, or a tuple of arrays

LONG = 10.0  # seconds of processor time


def say(items: Sequence[Item]) -> Iterable[Item]:
    """The `Track` of the worker: the items, with a line "done total" after each."""
    for done, item in enumerate(items, start=1):
        yield item
        print(done, len(items), flush=True)


class Cells:
    """The results of one experiment's calls, in a folder of its own."""

    def __init__(self, name: str, folder: Path, made_by: Mapping[str, Any]) -> None:
        digest = sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()
        self._folder = folder / ".cells" / f"{name}-{digest[:16]}"
        self._calls = 0
        self.seconds = 0.0  # processor time that what was found had cost

    @contextmanager
    def resumable(self) -> Iterator[None]:
        """In here calls are kept and found."""
        token = _CELLS.set(self)
        try:
            yield
        finally:
            _CELLS.reset(token)

    def clear(self) -> None:
        """Forget all."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def result(self, compute: Callable[[], Any]) -> Any:
        """What the call that is next in order gives, or gave."""
        path = self._folder / f"{self._calls}.npz"
        self._calls += 1
        if path.exists():
            with np.load(path, allow_pickle=False) as found:
                self.seconds += float(found["seconds"])
                parts = tuple(found[f"arr_{i}"] for i in range(len(found.files) - 2))
                return parts if found["several"] else parts[0]
        token, start = _CELLS.set(None), time.process_time()  # calls within the call are part of it
        try:
            result = compute()
        finally:
            _CELLS.reset(token)
        seconds = time.process_time() - start
        if seconds >= LONG:
            self._keep(path, result, seconds)
        return result

    def _keep(self, path: Path, result: Any, seconds: float) -> None:
        from .results import replace

        several = isinstance(result, tuple)
        content = io.BytesIO()
        np.savez(content, *(result if several else (result,)), several=several, seconds=seconds)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, content.getvalue())


_CELLS: ContextVar[Cells | None] = ContextVar("cells", default=None)


def kept(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, which must depend on its arguments alone and give an array or a tuple of arrays, kept if long."""

    @wraps(function)
    def found_or_made(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        cells = _CELLS.get()
        compute = lambda: function(*args, **kwargs)  # noqa: E731
        return compute() if cells is None else cast(Result, cells.result(compute))

    return found_or_made
