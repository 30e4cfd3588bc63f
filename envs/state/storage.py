"""A state as JSON and arrays, so that it fits any format that holds both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def flatten(state: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `get_state` returned as (values that strict JSON can hold, arrays by name).

    In place of an array stands {"$array": name}, of bytes {"$bytes": name}, of a NaN or an infinity {"$float": "nan"}.
    The names begin with `prefix` and say where the array sits.

    Raises:
        TypeError: something in it is none of None, bool, int, float, str, bytes, array, list, dict.
    """
    arrays: dict[str, np.ndarray] = {}
    return _flatten(dict(state), prefix or "state", arrays), arrays


def unflatten(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The state that `flatten` took apart. ValueError if an array is missing."""
    return {key: _unflatten(value, arrays) for key, value in values.items()}


def _flatten(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"{name}: key {key!r} is not a string, or starts with $")
        return {key: _flatten(part, f"{name}/{key}", arrays) for key, part in value.items()}
    if isinstance(value, list):
        return [_flatten(part, f"{name}/{index}", arrays) for index, part in enumerate(value)]
    if type(value) is np.ndarray:
        arrays[name] = value
        return {"$array": name}
    if isinstance(value, bytes):
        arrays[name] = np.frombuffer(value, np.uint8)
        return {"$bytes": name}
    if type(value) is float and not math.isfinite(value):
        return {"$float": repr(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{name}: {type(value).__name__} is neither JSON nor an array")


def _unflatten(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unflatten(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if "$float" in value:
        return float(value["$float"])
    for kind in ("$array", "$bytes"):
        if kind in value:
            if value[kind] not in arrays:
                raise ValueError(f"state: the array {value[kind]!r} is missing")
            array = arrays[value[kind]]
            return array.tobytes() if kind == "$bytes" else array
    return {key: _unflatten(part, arrays) for key, part in value.items()}
