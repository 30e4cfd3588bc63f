"""How a state sees values: which are part of how an environment was built, and what is inside a space."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

_FIXED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, partial, EnvSpec)
_VALUES = (np.dtype, slice, range)  # immutable, and their repr says all of it
# Windows, renderers, log files: nothing that happens depends on them.
_IRRELEVANT = (
    "pygame",
    "gymnasium.envs.mujoco.mujoco_rendering",
    "stable_baselines3.common.monitor.Results",
    "logging",
)
# Tables that follow from the constructor's arguments, and are a hundred times as large as all the rest.
_TABLES = ("P", "initial_state_distrib")
_TABLED = ("gymnasium.envs.toy_text.cliffwalking", "gymnasium.envs.toy_text.taxi")


def class_name(value: Any) -> str:
    """Module and name of a value's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def inside(where: str, name: str) -> str:
    """Where an attribute sits; the chain of wrappers is not spelt out."""
    return where if name == "env" else f"{where}.{name}"


def fixed(value: Any) -> str | None:
    """None for state; text for what is part of how an environment was built (the same on both sides if not empty)."""
    if isinstance(value, _VALUES):
        return repr(value)
    if isinstance(value, _FIXED) or _irrelevant(value):
        return ""
    return "" if isinstance(value, list) and value and all(map(_irrelevant, value)) else None


def is_table(owner: Any, name: str) -> bool:
    """Whether this attribute of `owner` is a constant table of one of Gymnasium's environments."""
    return name in _TABLES and any(cls.__module__ in _TABLED for cls in type(owner).__mro__)


def is_frozen(value: Any) -> bool:
    """Whether it is of a frozen dataclass: replaced as a whole, since other objects may share it."""
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and parameters.frozen


def _irrelevant(value: Any) -> bool:
    return class_name(value).startswith(_IRRELEVANT)


def subspaces(space: spaces.Space) -> Iterator[spaces.Space]:
    """A space and all spaces inside it; each has its own generator."""
    yield space
    for part in vars(space).values():
        children = part.values() if isinstance(part, dict) else part if isinstance(part, tuple | list) else [part]
        for child in children:
            if isinstance(child, spaces.Space):
                yield from subspaces(child)
