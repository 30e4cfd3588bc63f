"""What an operation of torch on a batch of rows says in the graph.

The rows are BATCH in number, a prime that nothing else is: a tensor whose first dimension is that has a value per row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from .aten import COMPARISONS, ELEMENTWISE, REDUCTIONS, SOFTMAX_BACKWARD, VIEWS
from .graph import Graph, LoweringError, Node, broadcast_index

BATCH = 1009
STRIDE = 1 << 32  # more elements than a row has


class Translator:
    """Nodes of tensors, those in `nodes` by id; any other tensor is a constant."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.nodes: dict[int, Node] = {}

    def node(self, tensor: Tensor) -> Node:
        """What a tensor is.

        Raises:
            LoweringError: for a constant that differs from row to row.
        """
        if id(tensor) in self.nodes:
            return self.nodes[id(tensor)]
        array = tensor.detach().numpy().copy()
        if per_row(tensor):
            if (array != array[:1]).any():
                raise LoweringError("a constant depends on the row's place in the batch")
            array = array[0]
        return (
            self._number(array.item())
            if array.shape == () and array == BATCH
            else self.graph.const(array, dtype_of(tensor))
        )

    def meaning(self, name: str, func: Any, args: tuple, kwargs: dict[str, Any], outputs: list[Tensor]) -> list[Node]:
        """What the outputs of an operation are.

        Raises:
            LoweringError: for one that the graph has no words for.
        """
        out = outputs[0]
        if name in VIEWS:
            return self._view(func, args, kwargs, outputs)
        arguments = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        if name in REDUCTIONS or name in SOFTMAX_BACKWARD:
            return [self.exact(self._reduction(name, arguments, out), out)]
        if name in ("gather", "scatter_add", "index_add", "cumsum"):
            return [self.exact(getattr(self, f"_{name}")(arguments, out), out)]
        if name not in ELEMENTWISE:
            raise LoweringError(f"the operation {name} is not known")
        dtype = str(torch.result_type(*args)).removeprefix("torch.") if name in COMPARISONS else dtype_of(out)

        def operand(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return self._number(value)
            node = self._beside(value, out)
            return node if node.dtype == "bool" and name in ("where", "masked_fill") else self.graph.cast(node, dtype)

        results = ELEMENTWISE[name](
            self.graph, *map(operand, args), **{key: operand(value) for key, value in kwargs.items()}
        )
        results = results if isinstance(results, tuple) else (results,)
        return [self.exact(result, tensor) for result, tensor in zip(results, outputs, strict=True)]

    def _number(self, value: Any) -> Any:
        if value == BATCH and not isinstance(value, bool):
            return self.graph.node("size", (), (), "float32", rowwise=False, origin=frozenset(["minibatch"]))
        return value

    def _beside(self, tensor: Tensor, out: Tensor) -> Node:
        """The node of an operand; its shape is that of a row also where a size of 1 stands for all rows."""
        node = self.node(tensor)
        if not node.rowwise and per_row(out) and len(node.shape) == out.dim():
            node = self._reshaped(node, node.shape[1:])
        return node

    def exact(self, node: Node, tensor: Tensor) -> Node:
        """With all elements of the tensor's rows."""
        shape = tuple(tensor.shape[1:] if per_row(tensor) else tensor.shape)
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
            if id(tensor) not in self.nodes and not tensor.is_floating_point():
                return tensor  # where to look
            node = self.exact(self.node(tensor), tensor)
            numbers = torch.arange(taken + 1, taken + node.size + 1).reshape(node.shape)
            nodes.append(node)
            taken += node.size
            if not per_row(tensor):
                return numbers
            rows = torch.arange(BATCH).reshape(-1, *(1,) * len(node.shape))
            return numbers + STRIDE * rows

        results = tensors_in(func(*tree_map_only(Tensor, numbered, args), **kwargs))
        found = []
        for numbers, out in zip(results, outputs, strict=True):
            where = (numbers[0] if per_row(out) else numbers).numpy() - 1
            rows = np.arange(BATCH).reshape(-1, *(1,) * where.ndim)
            if per_row(out) and (numbers.numpy() != where + 1 + np.where(numbers > STRIDE, rows * STRIDE, 0)).any():
                raise LoweringError(f"{func._schema.name} mixes rows")
            found.append(self.graph.index(tuple(nodes), where, dtype_of(out)))
        return found

    def _reduction(self, name: str, arguments: dict[str, Any], out: Tensor) -> Node:
        tensor = arguments.get("self", arguments.get("grad_output"))
        assert isinstance(tensor, Tensor)
        if arguments.get("ord", 2) != 2:
            raise LoweringError(f"{name} of order {arguments['ord']}")
        given = arguments.get("dim")
        dims = [given] if isinstance(given, int) else given or range(tensor.dim())
        rows = int(per_row(tensor))
        axes = tuple(dim % tensor.dim() - rows for dim in dims)

        def over(op: str, x: Node) -> Node:
            if op == "mean":
                within = self.graph("div", over("sum", x), math.prod(x.shape[axis] for axis in axes if axis >= 0))
                return self.graph("div", within, self._number(BATCH)) if -1 in axes else within
            x = self.graph.reduce(op, x, tuple(axis for axis in axes if axis >= 0))
            return x if -1 not in axes else self.graph.over_rows(op, x)

        def node(value: Tensor) -> Node:
            return self.graph.cast(self.exact(self.node(value), value), dtype_of(out))

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
        x = self.exact(self.node(arguments["self"]), arguments["self"])
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
        x = self.exact(self.node(source), source)
        added = self.graph.node("scatter_sum", (x,), shape, x.dtype, targets.numpy())
        return self.graph("add", added, self._beside(base, out))

    def _cumsum(self, arguments: dict[str, Any], out: Tensor) -> Node:
        if arguments["dim"] % out.dim() != out.dim() - 1 or out.dim() < 2:
            raise LoweringError("a cumulative sum over other than the last dimension")
        x = self.exact(self.node(arguments["self"]), out)
        return self.graph.node("cumsum", (x,), x.shape, x.dtype)


def dtype_of(tensor: Tensor) -> str:
    """By the name that NumPy gives it, too."""
    return str(tensor.dtype).removeprefix("torch.")


def per_row(tensor: Tensor) -> bool:
    """Whether it has a value per row."""
    return tensor.dim() > 0 and len(tensor) == BATCH


def tensors_in(values: Any) -> list[Tensor]:
    """All tensors in nested arguments."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
