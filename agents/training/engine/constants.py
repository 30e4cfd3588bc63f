"""What a loss holds beside tensors: lowering and recording take it for constants, so it has to stay."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np

from ..losses import MinibatchLoss


def constants_of(loss: MinibatchLoss) -> dict[str, Any]:
    """The attributes of objective, regulariser and head, by name."""
    return {
        f"{type(part).__name__}.{name}": value
        for part in (loss.objective, loss.regularizer, loss.head)
        for name, value in getattr(part, "__dict__", {}).items()
    }


def changed(constants: dict[str, Any], loss: MinibatchLoss) -> str:
    """The first attribute that is another number, text or object now; "" if none. Tensors may change in place."""
    for name, value in constants_of(loss).items():
        before = constants.get(name)
        plain = isinstance(value, Number | str | np.generic)
        if value is not before and not (plain and value == before) and (plain or name in constants):
            return name
    return ""
