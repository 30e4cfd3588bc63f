"""The objects of an environment as plain values; `decode` puts them back into a freshly built environment.

Plain values are None, bool, int, float, str, bytes, arrays, lists and dicts with string keys; everything else becomes a
dict with a "kind". Objects are never created from a state: their attributes are written into the object that sits in
the same place, so a state can only ever fill in what is already there. What is found twice is written once and
referred to, so a generator that two wrappers share is shared again.

An object that keeps part of itself outside Python's reach (a physics engine of an unknown kind) makes `Encoder` raise
`UnsavedError`: better no state than one that only looks complete.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import fields
from enum import Enum
from typing import Any

import numpy as np
from gymnasium import spaces

from . import simulators
from .kinds import class_name, fixed, inside, is_frozen, is_table, subspaces
from .plain import UnsavedError, encode_array, encode_generator

_SEQUENCES: dict[type, str] = {list: "list", tuple: "tuple", deque: "deque", set: "set", frozenset: "frozenset"}
_LONG = 8  # lists of more numbers than this become arrays


class _Plain:
    """A class whose instances are their `__dict__` and nothing else."""


class Encoder:
    """Values to plain values. `packages`: the simulators that were met, on whose version the state depends."""

    def __init__(self) -> None:
        self.packages: set[str] = set()
        self._seen: dict[int, tuple[int, Any]] = {}  # id -> number, and the object itself so that the id stays its own
        self._owners: dict[int, list[np.ndarray]] = {}

    def encode(self, value: Any, where: str) -> Any:
        """`value` as plain values; `where` names it in errors. UnsavedError if that can't be done exactly."""
        if value is None or type(value) in (bool, int, float, str, bytes):
            return value
        if isinstance(value, np.generic) and not isinstance(value, np.object_):
            number = value.dtype.kind in "biuf" and value.dtype.itemsize <= 8
            saved = value.item() if number else encode_array(np.asarray(value), where)
            return {"kind": "scalar", "dtype": value.dtype.str, "value": saved}
        if isinstance(value, Enum):
            return {"kind": "enum", "name": value.name}
        if (what := fixed(value)) is not None:
            return {"kind": "fixed", "what": what}
        if is_frozen(value):
            parts = {field.name: getattr(value, field.name) for field in fields(value)}
            encoded = {name: self.encode(part, inside(where, name)) for name, part in parts.items()}
            return {"kind": "dataclass", "class": class_name(value), "fields": encoded}
        if id(value) in self._seen:
            return {"kind": "again", "number": self._seen[id(value)][0]}
        if not isinstance(value, tuple | frozenset):
            self._seen[id(value)] = len(self._seen), value
        return self._encode_new(value, where)

    def _encode_new(self, value: Any, where: str) -> Any:
        if type(value) is np.ndarray:
            self._own(value, where)
            return encode_array(value, where)
        if type(value) in _SEQUENCES:
            return self._encode_sequence(value, where)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            parts = zip(value._fields, value, strict=True)
            return {"kind": "namedtuple", "items": [self.encode(part, inside(where, name)) for name, part in parts]}
        if type(value) is dict:
            pairs = [[self.encode(k, where), self.encode(v, f"{where}[{k!r}]")] for k, v in value.items()]
            return {"kind": "dict", "items": pairs}
        if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
            return encode_generator(value, where)
        if isinstance(value, spaces.Space):
            generators = [self.encode(space._np_random, where) for space in subspaces(value)]
            return {"kind": "space", "generators": generators}
        if adapter := simulators.adapter_of(value):
            self.packages.add(adapter.package)
            return {"kind": adapter.kind} | adapter.save(value, where)
        return self._encode_object(value, where)

    def _encode_sequence(self, value: Any, where: str) -> Any:
        kind = _SEQUENCES[type(value)]
        items = list(value)
        if len(items) > _LONG and all(type(item) is float for item in items):
            return {"kind": kind, "items": np.array(items), "maxlen": getattr(value, "maxlen", None)}
        encoded = [self.encode(item, f"{where}[{index}]") for index, item in enumerate(items)]
        return encoded if kind == "list" else {"kind": kind, "items": encoded, "maxlen": getattr(value, "maxlen", None)}

    def _encode_object(self, value: Any, where: str) -> Any:
        if callable(getattr(type(value), "get_exact_state", None)):
            return {"kind": "own", "class": class_name(value), "state": self.encode(value.get_exact_state(), where)}
        if type(value).__basicsize__ > _Plain.__basicsize__ or not hasattr(value, "__dict__"):
            raise UnsavedError(f"{where}: an object of {class_name(value)} can't be saved")
        return {"kind": "object", "class": class_name(value), "attributes": self.attributes(value, vars(value), where)}

    def attributes(self, value: Any, names: Any, where: str) -> dict[str, Any]:
        """Some attributes of an object, by name."""
        return {
            name: {"kind": "fixed", "what": ""}
            if is_table(value, name)
            else self.encode(vars(value)[name], inside(where, name))
            for name in names
        }

    def _own(self, array: np.ndarray, where: str) -> None:
        """UnsavedError if the array is a view of a simulator's memory, or overlaps another that is saved."""
        owner: Any = array
        while isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        others = self._owners.setdefault(id(owner), [])
        if type(owner).__name__ == "PyCapsule" or any(np.may_share_memory(array, other) for other in others):
            raise UnsavedError(f"{where}: a view of memory that something else writes to can't be saved")
        others.append(array)
