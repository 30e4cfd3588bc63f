"""Observation and action spaces as JSON values, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces


def space_to_json(space: spaces.Space) -> dict[str, Any]:
    """A JSON value that `space_from_json` turns back into an equal space.

    Raises:
        ValueError: for a kind of space that agents don't act in.
    """
    if isinstance(space, spaces.Box):
        bounds = {"low": _bound(space.low), "high": _bound(space.high)}
        return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": {key: space_to_json(value) for key, value in space.items()}}
    raise ValueError(f"space {space}: must be Box, Discrete, MultiDiscrete, MultiBinary or a Dict of them")


def space_from_json(value: dict[str, Any]) -> spaces.Space:
    """The space that `space_to_json` wrote.

    Raises:
        ValueError: for an unknown type.
    """
    match value:
        case {"type": "Box", "shape": shape, "dtype": dtype, "low": low, "high": high}:
            low, high = (np.broadcast_to(np.array(b, dtype), shape) for b in (_parsed(low), _parsed(high)))
            return spaces.Box(low, high, tuple(shape), dtype=np.dtype(dtype).type)
        case {"type": "Discrete", "n": n, "start": start}:
            return spaces.Discrete(n, start=start)
        case {"type": "MultiDiscrete", "nvec": nvec, "start": start}:
            return spaces.MultiDiscrete(nvec, start=start)
        case {"type": "MultiBinary", "n": n}:
            return spaces.MultiBinary(n)
        case {"type": "Dict", "spaces": entries}:
            return spaces.Dict({key: space_from_json(entry) for key, entry in entries.items()})
    raise ValueError(f"space {value!r}: unknown type")


def _bound(array: np.ndarray) -> Any:
    """One number where all are equal, else nested lists; infinities as text, since JSON has none."""
    value = array.flat[0].item() if array.size and (array == array.flat[0]).all() else array.tolist()
    return _map(lambda x: x if np.isfinite(x) else str(x), value)


def _parsed(value: Any) -> Any:
    return _map(lambda x: float(x) if isinstance(x, str) else x, value)


def _map(function: Any, value: Any) -> Any:
    return [_map(function, item) for item in value] if isinstance(value, list) else function(value)
