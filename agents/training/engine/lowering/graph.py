"""The intermediate representation: what one row of a minibatch goes through, as a graph of elementwise operations,
reductions within the row, static re-indexing, and the few things that look at all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ....geometry import Divergence

#: The elementwise operations.
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "expm1": np.expm1,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "sign": np.sign,
    "round": np.rint,
    "min": np.minimum,
    "max": np.maximum,
    "where": np.where,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
}


class Operator(NamedTuple):
    """An f-softargmax; `log_q` as bytes of an array shaped like a row of the logits, None for the uniform reference."""

    divergence: Divergence
    temperature: float
    log_q: bytes | None


class LoweringError(Exception):
    """Why a loss can't be lowered, in words for the log."""


@dataclass(frozen=True, eq=False)
class Node:
    """A value per row [*shape] (`rowwise`), or one for all rows.

    op: an elementwise operation, or
      "input" (data: its name), "const" (an array), "scalar" (a 0-d tensor), "size" (none; it is B),
      "index" (where each element comes from in the flat concatenation of the arguments, -1 for a zero),
      "sum", "amax", "amin" (axes, which stay with size 1), "scatter_sum" (where each element is added),
      "cumsum" (over the last axis), "batch_sum", "batch_amax" (over the rows), "softargmax" (its `Operator`), "cast".
    origin: what it depends on, "rollout" columns, the "minibatch" (its advantages, or which rows are in it) and what is
      "learned" (parameters and values).
    """

    op: str
    args: tuple[Node, ...]
    shape: tuple[int, ...]
    dtype: str
    data: Any
    rowwise: bool
    origin: frozenset[str]

    @property
    def size(self) -> int:
        """Elements per row."""
        return math.prod(self.shape)


class Graph:
    """Builds nodes: equal ones are one, constants are folded where that is free."""

    def __init__(self) -> None:
        self._nodes: dict[tuple, Node] = {}
        self.softmax_of: dict[Node, Node] = {}  # log softmax -> softmax, which is at hand

    def node(
        self,
        op: str,
        args: tuple[Node, ...],
        shape: Iterable[int],
        dtype: str,
        data: Any = None,
        *,
        rowwise: bool | None = None,
        origin: frozenset[str] = frozenset(),
    ) -> Node:
        """A node, or the one that is like it."""
        rows = any(arg.rowwise for arg in args) if rowwise is None else rowwise
        shape = tuple(shape)
        identity = (data.tobytes(), data.dtype.str) if isinstance(data, np.ndarray) else data
        key = (op, args, shape, dtype, identity, rows)
        if key not in self._nodes:
            origin = origin.union(*(arg.origin for arg in args))
            self._nodes[key] = Node(op, args, shape, dtype, data, rows, origin)
        return self._nodes[key]

    def const(self, value: Any, dtype: str) -> Node:
        """A constant; one of equal entries has shape () until something needs more."""
        array = np.asarray(value, dtype)
        return self.node("const", (), array.shape, dtype, array)

    def __call__(self, op: str, *operands: Any, dtype: str | None = None) -> Node:
        """An elementwise operation with NumPy's broadcasting; numbers take the type of the first node."""
        like = next(x for x in operands if isinstance(x, Node) and not (op == "where" and x is operands[0]))
        args = tuple(x if isinstance(x, Node) else self.const(x, like.dtype) for x in operands)
        shape = np.broadcast_shapes(*(arg.shape for arg in args))
        args = tuple(_slim(arg, self) for arg in args)  # what is the same along an axis is computed once
        small = np.broadcast_shapes(*(arg.shape for arg in args))
        dtype = dtype or args[-1].dtype
        if all(arg.op == "const" for arg in args):
            with np.errstate(all="ignore"):
                result = self.const(ELEMENTWISE[op](*(arg.data for arg in args)), dtype)
        else:
            result = self._simplified(op, args, small) or self.node(op, args, small, dtype)
        return result if small == shape else self.index((result,), broadcast_index(small, shape), dtype)

    def _simplified(self, op: str, args: tuple[Node, ...], shape: tuple[int, ...]) -> Node | None:
        first, last = args[0], args[-1]
        if op == "exp" and first in self.softmax_of:
            return self.softmax_of[first]
        if op == "log" and first.op == "exp":
            return first.args[0]
        if op == "neg" and first.op == "neg":
            return first.args[0]
        if op == "add" and first.op == "expm1" and is_const(last, 1.0):
            return self("exp", first.args[0])
        if op == "where" and first.op == "const" and not first.shape:
            chosen = args[1] if first.data else args[2]
            return chosen if chosen.shape == shape else None
        neutral = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0, "and": True, "or": False}.get(op)
        if neutral is not None and is_const(last, neutral) and first.shape == shape:
            return first
        if op in ("add", "mul", "and", "or") and is_const(first, neutral) and last.shape == shape:
            return last
        return None

    def cast(self, x: Node, dtype: str) -> Node:
        """`x` as another type."""
        if x.dtype == dtype:
            return x
        if x.op == "const":
            return self.const(x.data, dtype)
        return self.node("cast", (x,), x.shape, dtype)

    def power(self, x: Node, exponent: float) -> Node:
        """x ** exponent without a general power, which is slow."""
        simple = {1.0: x, 2.0: self("mul", x, x), 0.5: self("sqrt", x), -1.0: self("div", 1.0, x)}
        if exponent in simple:
            return simple[exponent]
        log = x.args[0] if x.op == "exp" else self("log", x)
        return self("exp", self("mul", log, exponent))

    def index(self, args: tuple[Node, ...], where: np.ndarray, dtype: str) -> Node:
        """Elements of the concatenated arguments at `where` (an array of the result's shape; -1: zero)."""
        if len(args) == 1 and where.shape == args[0].shape and np.array_equal(where.ravel(), np.arange(args[0].size)):
            return args[0]
        if all(arg.op == "const" for arg in args):
            flat = np.concatenate([arg.data.ravel() for arg in args] + [np.zeros(1, dtype)])
            return self.const(flat[where], dtype)
        return self.node("index", args, where.shape, dtype, where.astype(np.int64))

    def reduce(self, op: str, x: Node, axes: tuple[int, ...]) -> Node:
        """Over axes of a row, which stay with size 1."""
        axes = tuple(sorted(axis for axis in axes if x.shape[axis] > 1))
        if not axes:
            return x
        return self.node(op, (x,), (1 if i in axes else n for i, n in enumerate(x.shape)), x.dtype, axes)

    def over_rows(self, op: str, x: Node) -> Node:
        """Over all rows of the minibatch.

        Raises:
            LoweringError: for what is differentiated, since every row's gradient would need every row.
        """
        if "learned" in x.origin:
            raise LoweringError("a statistic over the batch of what is learned")
        origin = frozenset(["minibatch"])
        return self.node(f"batch_{op}", (x,), x.shape, x.dtype, rowwise=False, origin=origin) if x.rowwise else x


def is_const(node: Node, value: float | None) -> bool:
    """Whether it is this number everywhere."""
    return node.op == "const" and bool((node.data == value).all())


def broadcast_index(shape: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    """Where each element of `target` comes from when `shape` is broadcast to it."""
    return np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), target)


def _slim(node: Node, graph: Graph) -> Node:
    """What broadcasts to the same: a constant's one number, what a broadcast was made of."""
    if node.op == "const" and node.shape and (node.data == node.data.flat[0]).all():
        return graph.const(node.data.flat[0], node.dtype)
    if node.op == "index" and len(node.args) == 1:
        (arg,) = node.args
        try:
            if np.array_equal(node.data, broadcast_index(arg.shape, node.shape)):
                return _slim(arg, graph)
        except ValueError:
            return node
    return node


def ordered(outputs: Iterable[Node]) -> list[Node]:
    """All that the outputs need, arguments first."""
    order: dict[Node, None] = {}
    stack = list(reversed(list(outputs)))
    while stack:
        node = stack[-1]
        waiting = [arg for arg in reversed(node.args) if arg not in order]
        if node in order or not waiting:
            order.setdefault(stack.pop())
        else:
            stack.extend(waiting)
    return list(order)
