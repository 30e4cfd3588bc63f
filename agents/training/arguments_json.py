"""Constructor arguments as JSON values: numbers and names; a user's own object by name only, never by value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..policies.names import CLASSES, class_from_name, name_from_class
from .safe_zip import CheckpointError
from .schedules import LinearSchedule


def to_json(name: str, value: Any) -> Any:
    """The JSON value of an argument called `name`; classes and callables by name."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, LinearSchedule):
        return f"lin_{value.initial!r}"
    if isinstance(value, Mapping):
        return {str(key): to_json(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [to_json(name, item) for item in value]
    if isinstance(value, type) and (known := name_from_class(name, value)):
        return {"$class": known}
    named = value if hasattr(value, "__qualname__") else type(value)
    return {"$object": f"{named.__module__}.{named.__qualname__}"}


def from_json(name: str, value: Any, custom_objects: Mapping[str, Any]) -> Any:
    """The argument that `to_json` wrote; `custom_objects` replaces by name whatever it holds.

    Raises:
        CheckpointError: where the value was a user's own object and `custom_objects` does not give it again.
    """
    if name in custom_objects:
        return custom_objects[name]
    if isinstance(value, list):
        return [from_json(name, item, custom_objects) for item in value]
    if not isinstance(value, dict):
        return value
    if "$float" in value:
        return float(value["$float"])
    if "$class" in value and name in CLASSES:
        return class_from_name(name, str(value["$class"]))
    if "$object" in value:
        raise CheckpointError(
            f"{name} was {value['$object']!r}, an object of the user's own, stored by name only: "
            f"give it again with custom_objects={{{name!r}: ...}}"
        )
    return {key: from_json(key, item, custom_objects) for key, item in value.items()}
