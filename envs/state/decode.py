"""Plain values back into the objects that they came from; see `encode`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np
from gymnasium import spaces

from . import simulators
from .kinds import class_name, fixed, inside, subspaces
from .plain import decode_array, decode_generator


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
            if saved["what"] and fixed(old) != saved["what"]:
                raise ValueError(f"state: {where} was {saved['what']}, it is {old!r} here")
            return old
        if kind == "dataclass":
            _same_kind(class_name(old) == saved["class"], saved["class"], old, where)
            parts = saved["fields"].items()
            return replace(
                old, **{name: self.decode(part, getattr(old, name), inside(where, name)) for name, part in parts}
            )
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
            for space, generator in zip(subspaces(old), saved["generators"], strict=True):
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
            there[name] = self.decode(value, there.get(name), inside(where, name))

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


def _same_kind(fits: bool, expected: str, old: Any, where: str) -> bool:
    if not fits:
        raise ValueError(f"state: {where} was {expected}, it is {class_name(old)} here")
    return True
