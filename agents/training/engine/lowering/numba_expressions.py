"""The operations of a row in Python source for Numba."""

from __future__ import annotations

from .graph import LoweringError, Node

HEADER = """\
import math

import numpy as np
from numba import njit

from agents.training.engine.lowering.numba_functions import (
    carray, exp, expm1, float32_pointer, float64_pointer, log, log1p
)

ZERO, ONE, INFINITY = np.float32(0.0), np.float32(1.0), np.float32(np.inf)
"""
EXPRESSIONS = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "abs": "abs({0})",
    "exp": "exp({0})",
    "log": "log({0})",
    "expm1": "expm1({0})",
    "log1p": "log1p({0})",
    "sqrt": "math.sqrt({0})",
    "sign": "(ONE if {0} > ZERO else (-ONE if {0} < ZERO else {0}))",
    "min": "({1} if {0} > {1} else {0})",
    "max": "({1} if {0} < {1} else {0})",
    "where": "({1} if {0} else {2})",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "not": "not {0}",
    "copy": "{0}",
}
COMBINED = {"sum": "add", "scatter_sum": "add", "amax": "max", "amin": "min"}
START = {"sum": "ZERO", "scatter_sum": "ZERO", "amax": "-INFINITY", "amin": "INFINITY"}


def expression(node: Node) -> str:
    """An elementwise operation, to be formatted with its operands."""
    if node.op != "cast":
        return EXPRESSIONS[node.op]
    (arg,) = node.args
    if arg.dtype == "bool":
        return "(ONE if {0} else ZERO)"
    if node.dtype == "int64" and arg.op != "round":
        raise LoweringError("numbers cut to integers")
    return "{0} != ZERO" if node.dtype == "bool" else "{0}"


def as_number(node: Node, name: str) -> str:
    """A value as an array keeps it."""
    return f"(ONE if {name} else ZERO)" if node.dtype == "bool" else name
