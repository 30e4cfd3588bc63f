"""The graph as NumPy, operation by operation on all rows at once.

Floats are float64: NumPy's exponential and logarithm of float32 are off by several units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from ....geometry import softargmax
from ....geometry.acceleration import kernels_for
from .graph import ELEMENTWISE, Node, Operator
from .stages import needed

Values = dict[Node, np.ndarray]

REDUCTIONS: dict[str, np.ufunc] = {"sum": np.add, "amax": np.maximum, "amin": np.minimum}


class Program:
    """A list of NumPy calls from given values, those that it `uses`, to outputs."""

    def __init__(self, outputs: Iterable[Node], given: Iterable[Node]) -> None:
        self.steps = [(node, _function(node), node.args) for node in needed(outputs, given)]
        used = dict.fromkeys([arg for _, _, args in self.steps for arg in args] + list(outputs))
        own = {node for node, _, _ in self.steps}
        self.uses = [node for node in used if node not in own and node.op != "const"]
        #: Whether anything is computed here; the f-softargmax is not, and has its own precision.
        self.computes = any(node.op not in ("softargmax", "index") for node in own)
        self.constants = {node: _working(node.data) for node in used if node.op == "const"}

    def __call__(self, given: Mapping[Node, np.ndarray], n: int) -> Values:
        """All values, for n rows."""
        if not self.computes:
            return self._run({**given, **self.constants}, n)
        with np.errstate(all="ignore"):
            return self._run({node: _working(value) for node, value in given.items()} | self.constants, n)

    def _run(self, values: Values, n: int) -> Values:
        for node, function, args in self.steps:
            values[node] = function(*[values[arg] for arg in args]) if node.op != "size" else np.array(float(n))
        return values


def _working(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _function(node: Node) -> Callable[..., Any]:
    op, data = node.op, node.data
    if op in ELEMENTWISE:
        return _aligned(ELEMENTWISE[op], node)
    if op in REDUCTIONS:
        axes = tuple(axis - len(node.shape) for axis in data)
        return partial(REDUCTIONS[op].reduce, axis=axes, keepdims=True)
    if op.startswith("batch_"):
        return partial(REDUCTIONS[op.removeprefix("batch_")].reduce, axis=0)
    if op == "index":
        return _index(node)
    if op == "scatter_sum":
        matrix = np.zeros((node.args[0].size, node.size))
        matrix[np.arange(len(matrix)), data.ravel()] = 1
        return lambda x: (x.reshape(-1, len(matrix)) @ matrix).reshape(-1, *node.shape)
    if op == "softargmax":
        return _softargmax(node)
    others: dict[str, Callable[..., Any]] = {
        "cast": lambda x: x.astype(float if node.dtype.startswith("float") else node.dtype),
        "cumsum": partial(np.cumsum, axis=-1),
        "scalar": lambda: data.numpy(),
        "size": lambda: None,
    }
    return others[op]


def _aligned(function: Callable[..., Any], node: Node) -> Callable[..., Any]:
    """With as many dimensions for each operand, of which the rows are the first."""
    missing = [len(node.shape) - len(arg.shape) if arg.rowwise else 0 for arg in node.args]
    if not any(missing):
        return function
    shapes = [(-1, *(1,) * k, *arg.shape) for k, arg in zip(missing, node.args, strict=True)]
    return lambda *args: function(
        *(x.reshape(shape) if k else x for x, k, shape in zip(args, missing, shapes, strict=True))
    )


def _index(node: Node) -> Callable[..., Any]:
    where, rows = node.data, (-1,) if node.rowwise else ()
    if len(node.args) == 1 and np.array_equal(where.ravel(), np.arange(node.args[0].size)):
        return lambda x: x.reshape(*rows, *node.shape)
    if not node.rowwise:
        return lambda *args: np.append(np.concatenate([x.ravel() for x in args]), 0)[where]
    filled = bool((where < 0).any())

    def index(*args: np.ndarray) -> np.ndarray:
        n = max(len(x) for x, arg in zip(args, node.args, strict=True) if arg.rowwise)
        parts = [
            np.broadcast_to(x if arg.rowwise else x[None], (n, *arg.shape)).reshape(n, -1)
            for x, arg in zip(args, node.args, strict=True)
        ]
        if filled:
            parts.append(np.zeros((n, 1)))
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return whole[:, where]

    return index


def _softargmax(node: Node) -> Callable[[np.ndarray], np.ndarray]:
    operator: Operator = node.data
    form, log_q = operator.divergence.tsallis_form or (0.0, 0.0), None
    alpha, scale = form[0], form[1] * operator.temperature
    if operator.log_q is not None:
        log_q = torch.from_numpy(np.frombuffer(operator.log_q, node.dtype).reshape(node.shape).copy())

    def solve(x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x, node.dtype)
        logits = torch.from_numpy(x)
        kernels = kernels_for(logits, log_q, operator.divergence.tsallis_form)
        if kernels is not None:
            out = np.empty_like(x)
            kernels.log_softargmax_rows(x.reshape(-1, x.shape[-1]), alpha, scale, out.reshape(-1, x.shape[-1]))
            return out
        q = None if log_q is None else log_q.expand(logits.shape)
        return softargmax._forward(logits, q, operator.divergence, operator.temperature).numpy()

    return solve
