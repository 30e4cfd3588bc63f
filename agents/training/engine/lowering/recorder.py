"""Sees what torch does to a batch of rows, operation by operation, and says it in the graph.

The rows are BATCH in number, a prime that nothing else is: a tensor whose first dimension is that has a value per row.
What does not depend on them is a constant, except 0-d tensors from outside the loss: those are the scheduled scalars.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ....geometry import Divergence
from .aten import COMPARISONS, CONSTANTS, ELEMENTWISE, REDUCTIONS, SOFTMAX_BACKWARD, VIEWS
from .graph import Graph, LoweringError, Node, broadcast_index

BATCH = 1009


class Operator(NamedTuple):
    """An f-softargmax; `log_q` as bytes of an array shaped like a row of the logits, None for the uniform reference."""

    divergence: Divergence
    temperature: float
    log_q: bytes | None


class Recorder(TorchDispatchMode):
    """The graph of the operations under it, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = Graph()
        self.listening = True
        self._nodes: dict[int, Node] = {}  # by the tensor's id
        self._constants: set[int] = set()
        self._alive: list[Any] = []  # so that no id is used again

    def input(self, name: str, tensor: Tensor, origin: str) -> None:
        """A tensor with a value per row."""
        node = self.graph.node(
            "input", (), tensor.shape[1:], _dtype(tensor), name, rowwise=True, origin=frozenset([origin])
        )
        self._set(tensor, node)

    def node(self, tensor: Tensor) -> Node:
        """What a tensor is in the graph."""
        return self._nodes.get(id(tensor)) or self._constant(tensor)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is noted inside."""
        self.listening = False
        try:
            yield
        finally:
            self.listening = True

    def operator(
        self, out: Tensor, logits: Tensor, log_q: Tensor | None, divergence: Divergence, temperature: float
    ) -> None:
        """`out` is the f-softargmax of logits."""
        if log_q is not None and id(log_q) in self._nodes:
            raise LoweringError("the reference of the head is not a constant")
        x = self._exact(self.node(logits), logits)
        q = None if log_q is None else np.broadcast_to(self._constant(log_q).data, x.shape).tobytes()
        node = self.graph.node("softargmax", (x,), x.shape, x.dtype, Operator(divergence, temperature, q))
        self._set(out, node)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to skip it, torch would load its compiler, which takes 80 MB and a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run an operation, and note it."""
        out = func(*args, **(kwargs or {}))
        if self.listening:
            self._note(func, args, kwargs or {}, out)
        return out

    def _note(self, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        name = func._schema.name.removeprefix("aten::")
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        self._alive.append((inputs, outputs))
        for tensor in inputs:
            self._adopt(tensor, name)
        if name in CONSTANTS or not any(id(tensor) in self._nodes for tensor in inputs):
            self._constants.update(map(id, outputs))
            return
        if not outputs:
            raise LoweringError(f"{name} reads a number out of the batch")
        if "out" in kwargs:
            raise LoweringError(f"{name} writes to an argument")
        # In place, a tensor has another meaning from here on.
        nodes = self._meaning(name.rstrip("_") if name.endswith("_") else name, func, args, kwargs, outputs)
        for tensor, node in zip(outputs, nodes, strict=True):
            self._set(tensor, node)

    def _adopt(self, tensor: Tensor, used_by: str) -> None:
        if id(tensor) in self._nodes or id(tensor) in self._constants:
            return
        if tensor.dim() == 0 and tensor.is_floating_point() and used_by != "lift_fresh":
            self._set(tensor, self.graph.node("scalar", (), (), _dtype(tensor), tensor, rowwise=False))
        else:
            self._constants.add(id(tensor))

    def _set(self, tensor: Tensor, node: Node) -> None:
        self._nodes[id(tensor)] = node
        self._alive.append(tensor)

    def _constant(self, tensor: Tensor) -> Node:
        array = tensor.detach().numpy().copy()
        if _per_row(tensor):
            if (array != array[:1]).any():
                raise LoweringError("a constant depends on the row's place in the batch")
            array = array[0]
        return self.graph.const(array, _dtype(tensor))

    def _meaning(self, name: str, func: Any, args: tuple, kwargs: dict[str, Any], outputs: list[Tensor]) -> list[Node]:
        out = outputs[0]
        if name in VIEWS:
            return self._view(func, args, kwargs, outputs)
        arguments = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        if name in REDUCTIONS or name in SOFTMAX_BACKWARD:
            return [self._exact(self._reduction(name, arguments, out), out)]
        if name in ("gather", "scatter_add", "index_add", "cumsum"):
            return [self._exact(getattr(self, f"_{name}")(arguments, out), out)]
        if name not in ELEMENTWISE:
            raise LoweringError(f"the operation {name} is not known")
        dtype = str(torch.result_type(*args)).removeprefix("torch.") if name in COMPARISONS else _dtype(out)

        def operand(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return self._number(value)
            node = self._beside(value, out)
            return node if node.dtype == "bool" and name in ("where", "masked_fill") else self.graph.cast(node, dtype)

        results = ELEMENTWISE[name](
            self.graph, *map(operand, args), **{key: operand(value) for key, value in kwargs.items()}
        )
        results = results if isinstance(results, tuple) else (results,)
        return [self._exact(result, tensor) for result, tensor in zip(results, outputs, strict=True)]

    def _number(self, value: Any) -> Any:
        if value == BATCH and not isinstance(value, bool):
            return self.graph.node("size", (), (), "float32", rowwise=False, origin=frozenset(["minibatch"]))
        return value

    def _beside(self, tensor: Tensor, out: Tensor) -> Node:
        """The node of an operand; its shape is that of a row also where a size of 1 stands for all rows."""
        node = self.node(tensor)
        if not node.rowwise and _per_row(out) and len(node.shape) == out.dim():
            node = self._reshaped(node, node.shape[1:])
        return node

    def _exact(self, node: Node, tensor: Tensor) -> Node:
        """With all elements of the tensor's rows."""
        shape = tuple(tensor.shape[1:] if _per_row(tensor) else tensor.shape)
        if node.shape == shape:
            return node
        if node.size == math.prod(shape):
            return self._reshaped(node, shape)
        return self.graph.index((node,), broadcast_index(node.shape, shape), node.dtype)

    def _reshaped(self, node: Node, shape: tuple[int, ...]) -> Node:
        return self.graph.index((node,), np.arange(node.size).reshape(shape), node.dtype)

    def _view(self, func: Any, args: tuple, kwargs: dict[str, Any], outputs: list[Tensor]) -> list[Node]:
        """Any re-indexing, by doing it to the numbers of the elements (from 1; 0 is what it fills in)."""
        nodes: list[Node] = []
        taken = 0

        def numbered(tensor: Tensor) -> Tensor:
            nonlocal taken
            if id(tensor) not in self._nodes and not tensor.is_floating_point():
                return tensor  # where to look
            node = self._exact(self.node(tensor), tensor)
            numbers = torch.arange(taken + 1, taken + node.size + 1).reshape(node.shape)
            nodes.append(node)
            taken += node.size
            return numbers.expand(BATCH, *node.shape).clone() if _per_row(tensor) else numbers

        results = _tensors(func(*tree_map_only(Tensor, numbered, args), **kwargs))
        found = []
        for numbers, out in zip(results, outputs, strict=True):
            per_row = _per_row(out)
            if any(node.rowwise for node in nodes) and not (per_row and bool((numbers == numbers[:1]).all())):
                raise LoweringError(f"{func._schema.name} mixes rows")
            where = (numbers[0] if per_row else numbers).numpy() - 1
            found.append(self.graph.index(tuple(nodes), where, _dtype(out)))
        return found

    def _reduction(self, name: str, arguments: dict[str, Any], out: Tensor) -> Node:
        tensor = arguments.get("self", arguments.get("grad_output"))
        assert isinstance(tensor, Tensor)
        if arguments.get("ord", 2) != 2:
            raise LoweringError(f"{name} of order {arguments['ord']}")
        given = arguments.get("dim")
        dims = (
            range(tensor.dim())
            if given is None
            else [given]
            if isinstance(given, int)
            else given or range(tensor.dim())
        )
        per_row = int(_per_row(tensor))
        axes = tuple(dim % tensor.dim() - per_row for dim in dims)
        count = math.prod(tensor.shape[dim] for dim in dims)

        def over(op: str, x: Node) -> Node:
            if op == "mean":
                size = self._number(BATCH) if -1 in axes else 1
                return self.graph("div", self.graph("div", over("sum", x), count // (BATCH if -1 in axes else 1)), size)
            x = self.graph.reduce(op, x, tuple(axis for axis in axes if axis >= 0))
            return x if -1 not in axes else self.graph.over_rows(op, x)

        def node(value: Tensor) -> Node:
            return self.graph.cast(self._exact(self.node(value), value), _dtype(out))

        if name in SOFTMAX_BACKWARD:
            return SOFTMAX_BACKWARD[name](self.graph, node(tensor), node(arguments["output"]), over)
        return REDUCTIONS[name](self.graph, node(tensor), over)

    def _chosen(self, arguments: dict[str, Any]) -> Node:
        """[..., A], True at the index [..., 1]."""
        tensor, index = arguments["self"], arguments["index"]
        if arguments["dim"] % tensor.dim() != tensor.dim() - 1 or index.shape[-1] != 1:
            raise LoweringError("an index of several elements per row")
        positions = self.graph.const(np.arange(tensor.shape[-1]), "int64")
        return self.graph("eq", self.graph.cast(self.node(index), "int64"), positions, dtype="bool")

    def _gather(self, arguments: dict[str, Any], out: Tensor) -> Node:
        x = self._exact(self.node(arguments["self"]), arguments["self"])
        chosen = self.graph("where", self._chosen(arguments), x, 0)
        return self.graph.reduce("sum", chosen, (len(x.shape) - 1,))

    def _scatter_add(self, arguments: dict[str, Any], out: Tensor) -> Node:
        added = self.graph("where", self._chosen(arguments), self._beside(arguments["src"], out), 0)
        return self.graph("add", added, self._beside(arguments["self"], out))

    def _index_add(self, arguments: dict[str, Any], out: Tensor) -> Node:
        base, source = arguments["self"], arguments["source"]
        shape = tuple(base.shape[1:])
        numbers = torch.arange(math.prod(shape)).reshape(1, *shape)
        targets = numbers.index_select(arguments["dim"], arguments["index"])[0]
        x = self._exact(self.node(source), source)
        added = self.graph.node("scatter_sum", (x,), shape, x.dtype, targets.numpy())
        return self.graph("add", added, self._beside(base, out))

    def _cumsum(self, arguments: dict[str, Any], out: Tensor) -> Node:
        if arguments["dim"] % out.dim() != out.dim() - 1 or out.dim() < 2:
            raise LoweringError("a cumulative sum over other than the last dimension")
        x = self._exact(self.node(arguments["self"]), out)
        return self.graph.node("cumsum", (x,), x.shape, x.dtype)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _per_row(tensor: Tensor) -> bool:
    return tensor.dim() > 0 and len(tensor) == BATCH


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
