"""The objects of an environment as plain values, and those values back into a freshly built environment of its kind.

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
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from . import simulators
from .plain import UnsavedError, decode_array, decode_generator, encode_array, encode_generator

_FIXED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, partial, EnvSpec)
_VALUES = (np.dtype, slice, range)  # immutable, and their repr says all of it
# Windows, renderers, log files: nothing that happens depends on them.
_IRRELEVANT = (
    "pygame",
    "gymnasium.envs.mujoco.mujoco_rendering",
    "stable_baselines3.common.monitor.Results",
    "logging",
)
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
        if fixed := _fixed(value):
            return fixed
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
            fields = zip(value._fields, value, strict=True)
            return {"kind": "namedtuple", "items": [self.encode(part, f"{where}.{name}") for name, part in fields]}
        if type(value) is dict:
            pairs = [[self.encode(k, where), self.encode(v, f"{where}[{k!r}]")] for k, v in value.items()]
            return {"kind": "dict", "items": pairs}
        if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
            return encode_generator(value, where)
        if isinstance(value, spaces.Space):
            generators = [self.encode(space._np_random, where) for space in _subspaces(value)]
            return {"kind": "space", "generators": generators}
        if adapter := simulators.adapter_of(value):
            self.packages.add(adapter.package)
            return {"kind": adapter.kind} | adapter.save(value, where)
        return self._encode_object(value, where)

    def _encode_sequence(self, value: Any, where: str) -> Any:
        kind = _SEQUENCES[type(value)]
        items = sorted(value, key=repr) if kind in ("set", "frozenset") else list(value)
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
        return {name: self.encode(vars(value)[name], _inside(where, name)) for name in names}

    def _own(self, array: np.ndarray, where: str) -> None:
        """UnsavedError if the array is a view of a simulator's memory, or overlaps another that is saved."""
        owner: Any = array
        while isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        others = self._owners.setdefault(id(owner), [])
        if type(owner).__name__ == "PyCapsule" or any(np.may_share_memory(array, other) for other in others):
            raise UnsavedError(f"{where}: a view of memory that something else writes to can't be saved")
        others.append(array)


class Decoder:
    """Plain values back into the objects they came from, in the order in which `Encoder` went through them."""

    def __init__(self) -> None:
        self._seen: list[Any] = []

    def decode(self, saved: Any, old: Any, where: str) -> Any:
        """The value behind `saved`; `old` is what sits in its place now. ValueError if the two don't fit."""
        if isinstance(saved, np.ndarray):
            return self._remember(decode_array(saved, where))
        if isinstance(saved, list):
            return self._fill(self._remember([]), saved, old, where)
        if not isinstance(saved, dict):
            return saved
        kind = saved["kind"]
        if kind == "scalar":
            value = saved["value"]
            return decode_array(value if isinstance(value, dict) else np.array(value, saved["dtype"]), where)[()]
        if kind == "enum":
            return _same_kind(isinstance(old, Enum), "an Enum", old, where) and type(old)[saved["name"]]
        if kind == "fixed":
            if saved["what"] and (_fixed(old) or {}).get("what") != saved["what"]:
                raise ValueError(f"state: {where} was {saved['what']}, it is {old!r} here")
            return old
        if kind == "again":
            return self._seen[saved["number"]]
        if kind in ("tuple", "frozenset", "namedtuple"):
            items = self._items(saved["items"], old, where)
            if kind == "namedtuple":
                return _same_kind(hasattr(old, "_fields"), "a named tuple", old, where) and type(old)._make(items)
            return tuple(items) if kind == "tuple" else frozenset(items)
        return self._decode_mutable(kind, saved, old, where)

    def _decode_mutable(self, kind: str, saved: dict[str, Any], old: Any, where: str) -> Any:
        if kind == "array":
            return self._remember(decode_array(saved, where))
        if kind == "dict":
            return self._decode_dict(self._remember({}), saved, old, where)
        if kind in ("list", "deque"):
            return self._fill(
                self._remember([] if kind == "list" else deque(maxlen=saved["maxlen"])), saved, old, where
            )
        if kind == "set":
            result = self._remember(set())
            result.update(self._items(saved["items"], None, where))
            return result
        if kind == "generator":
            return self._remember(decode_generator(saved, where))
        self._remember(old)
        if kind == "space":
            _same_kind(isinstance(old, spaces.Space), "a space", old, where)
            for space, generator in zip(_subspaces(old), saved["generators"], strict=True):
                space._np_random = self.decode(generator, None, where)
        elif kind in ("own", "object"):
            self._decode_object(saved, old, where)
        else:
            simulators.load(kind, old, saved, where)
        return old

    def _decode_object(self, saved: dict[str, Any], old: Any, where: str) -> None:
        _same_kind(class_name(old) == saved["class"], saved["class"], old, where)
        if saved["kind"] == "own":
            old.set_exact_state(self.decode(saved["state"], None, where))
            return
        self.attributes(saved["attributes"], old, where)
        for name in vars(old).keys() - saved["attributes"].keys():
            delattr(old, name)

    def attributes(self, saved: dict[str, Any], old: Any, where: str) -> None:
        """Write some attributes of an object."""
        there = vars(old)  # written directly: what a property or a wrapper's __setattr__ would do has been done
        for name, value in saved.items():
            there[name] = self.decode(value, there.get(name), _inside(where, name))

    def _decode_dict(self, result: dict[Any, Any], saved: dict[str, Any], old: Any, where: str) -> dict[Any, Any]:
        olds = old if isinstance(old, dict) else {}
        for key_, value in saved["items"]:
            key = self.decode(key_, None, where)
            result[key] = self.decode(value, olds.get(key), f"{where}[{key!r}]")
        return result

    def _fill(self, result: Any, saved: Any, old: Any, where: str) -> Any:
        result.extend(self._items(saved["items"] if isinstance(saved, dict) else saved, old, where))
        return result

    def _items(self, saved: Any, old: Any, where: str) -> Iterator[Any]:
        if isinstance(saved, np.ndarray):
            yield from saved.tolist()
            return
        olds = list(old) if isinstance(old, list | tuple | deque) else []
        for index, item in enumerate(saved):
            yield self.decode(item, olds[index] if index < len(olds) else None, f"{where}[{index}]")

    def _remember(self, value: Any) -> Any:
        self._seen.append(value)
        return value


def class_name(value: Any) -> str:
    """Module and name of a value's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _inside(where: str, name: str) -> str:
    """Where an attribute sits; the chain of wrappers is not spelt out."""
    return where if name == "env" else f"{where}.{name}"


def _fixed(value: Any) -> dict[str, Any] | None:
    """What is part of how an environment was built, not of its state; `what` must be the same on both sides."""
    if isinstance(value, _VALUES) or _is_frozen(value):
        return {"kind": "fixed", "what": repr(value)}
    if isinstance(value, _FIXED) or _irrelevant(value):
        return {"kind": "fixed", "what": ""}
    if isinstance(value, list) and value and all(map(_irrelevant, value)):
        return {"kind": "fixed", "what": ""}
    return None


def _is_frozen(value: Any) -> bool:
    return is_dataclass(value) and vars(type(value))["__dataclass_params__"].frozen


def _irrelevant(value: Any) -> bool:
    return class_name(value).startswith(_IRRELEVANT)


def _same_kind(fits: bool, expected: str, old: Any, where: str) -> bool:
    if not fits:
        raise ValueError(f"state: {where} was {expected}, it is {class_name(old)} here")
    return True


def _subspaces(space: spaces.Space) -> Iterator[spaces.Space]:
    """A space and all spaces inside it; each has its own generator."""
    yield space
    for part in vars(space).values():
        inside = part.values() if isinstance(part, dict) else part if isinstance(part, tuple | list) else [part]
        for child in inside:
            if isinstance(child, spaces.Space):
                yield from _subspaces(child)
