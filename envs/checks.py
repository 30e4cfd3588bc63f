"""Range checks of what a user gives; each returns the value, or raises a ValueError that names it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

MAX_SEED = 2**32


def closest(name: str, candidates: Iterable[str]) -> str:
    """A hint to append to an error: ", did you mean 'x'?" or nothing."""
    matches = difflib.get_close_matches(str(name), list(candidates), n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """One of these names."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: unknown{closest(value, allowed)} (known: {', '.join(allowed)})")
    return value


def integer(name: str, value: Any, minimum: int, below: float = math.inf) -> int:
    """A whole number in [minimum, below)."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not minimum <= value < below:
        upper = "" if below == math.inf else f" and < {below}"
        raise ValueError(f"{name}={value!r}: must be an integer >= {minimum}{upper}")
    return int(value)


def seed(value: Any) -> int | None:
    """None or a whole number in [0, 2**32)."""
    return None if value is None else integer("seed", value, 0, MAX_SEED)


def number(name: str, value: Any, minimum: float = 0.0, below: float = math.inf) -> float:
    """A finite number in [minimum, below)."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not minimum <= value < below:
        upper = " and finite" if below == math.inf else f" and < {below:g}"
        raise ValueError(f"{name}={value!r}: must be a number >= {minimum:g}{upper}")
    return float(value)


def probability(name: str, value: Any) -> float:
    """A number in [0, 1)."""
    return number(name, value, 0.0, 1.0)


def known_keys(name: str, values: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Each key of `values` is one of `allowed`."""
    allowed = sorted(allowed)
    for key in values:
        if key not in allowed:
            raise ValueError(f"{name}: unknown key {key!r}{closest(key, allowed)} (known: {', '.join(allowed)})")
