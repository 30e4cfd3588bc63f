"""From a loss in torch to the graph: run it once on made-up rows, forward and backward, and note every operation.

The rows are BATCH in number, a prime that nothing else is: a tensor whose first dimension is that has a value per row.
What does not depend on them is a constant, but for 0-d tensors from outside the loss: those are the scheduled scalars.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ....geometry import Divergence, softargmax
from ...losses import MinibatchLoss
from ...rollouts import Minibatch
from ..gradients import example, metrics_of
from .aten import COMPARISONS, ELEMENTWISE, LOGICAL, REDUCTIONS, SAME_FOR_ANY_VALUE, SOFTMAX_BACKWARD, VIEWS
from .graph import Graph, LoweringError, Node, broadcast_index

BATCH = 1009
ORIGINS = {"parameters": "learned", "values": "learned", "advantages": "minibatch"}


class Traced(NamedTuple):
    """What a minibatch needs, per row: gradients of the sums over the rows, metrics to be averaged.

    `negative_share` is the ratio of the means of two of them: the gradient's norm where A < 0, and everywhere.
    """

    d_parameters: Node
    d_values: Node
    metrics: dict[str, Node]
    negative_norm: Node
    norm: Node


class Operator(NamedTuple):
    """The f-softargmax as one operation."""

    divergence: Divergence
    temperature: float
    log_q: Constant | None


class Constant:
    """An array that is compared by identity."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def trace(loss: MinibatchLoss) -> Traced:
    """The graph of a loss and its gradient.

    Raises:
        LoweringError: saying what stands in the way.
    """
    made_up = example(loss, BATCH, BATCH)
    columns = made_up.columns._replace(advantages=made_up.advantages)
    batch = Minibatch(None, *(None if c is None else torch.from_numpy(c) for c in columns[1:]))  # type: ignore[arg-type]
    parameters, values = (torch.from_numpy(x).requires_grad_() for x in (made_up.parameters, made_up.values))
    recorder = Recorder()
    for name, tensor in (("parameters", parameters), ("values", values), *batch._asdict().items()):
        if tensor is not None:
            recorder.input(name, tensor)
    with recorder, recorder.torch_set_up():
        losses = loss(parameters, values, None, batch)
        metrics = losses.metrics | reference_divergence(loss, parameters, batch) | {"policy_loss": losses.policy}
        ones = torch.ones_like(losses.policy)
        norm = gradient_norms(losses, parameters)
        (d_parameters,) = torch.autograd.grad(losses.policy, parameters, ones)
        (d_values,) = torch.autograd.grad(losses.value, values, ones)
        metrics = {name: metric.detach() for name, metric in metrics.items()}
        negative_norm = torch.where(batch.advantages < 0, norm, 0.0)
    row = recorder.row
    nodes = {name: row(metric) for name, metric in metrics.items()}
    return Traced(row(d_parameters), row(d_values), nodes, row(negative_norm), row(norm))


class Recorder(TorchDispatchMode):
    """Sees each ATen operation of forward and backward, and adds what it means to the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = Graph()
        self._nodes: dict[int, Node] = {}  # by the tensor's id
        self._constants: set[int] = set()
        self._alive: list[Any] = []  # so that no id is used again
        self._paused = False

    def input(self, name: str, tensor: Tensor) -> None:
        """A tensor with a value per row."""
        origin = frozenset([ORIGINS.get(name, "rollout")])
        node = self.graph.node("input", (), tensor.shape[1:], _dtype(tensor), name, rowwise=True, origin=origin)
        self._set(tensor, node)

    def row(self, tensor: Tensor) -> Node:
        """The node of a tensor."""
        return self._node(tensor, tensor)

    @contextmanager
    def torch_set_up(self) -> Iterator[None]:
        """No checks that read numbers, and the f-softargmax in one piece, since its solver looks at values."""
        solve = softargmax._forward

        def in_one_piece(logits: Tensor, log_q: Tensor | None, divergence: Divergence, temperature: float) -> Tensor:
            self._paused = True
            out = solve(logits, log_q, divergence, temperature)
            self._paused = False
            self._note_softargmax(out, logits, log_q, divergence, temperature)
            return out

        with (
            patch.object(torch.compiler, "is_compiling", lambda: not self._paused),
            patch.object(softargmax, "_forward", in_one_piece),
        ):
            yield

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run an operation, and note it."""
        out = func(*args, **(kwargs or {}))
        if not self._paused:
            self._note(func, args, kwargs or {}, out)
        return out

    def _note(self, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        name = func._schema.name.removeprefix("aten::")
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        self._alive.append((inputs, outputs))
        for tensor in inputs:
            if id(tensor) not in self._nodes and id(tensor) not in self._constants:
                self._adopt(tensor, scheduled=tensor.dim() == 0 and tensor.is_floating_point() and name != "lift_fresh")
        if name in SAME_FOR_ANY_VALUE or not any(id(tensor) in self._nodes for tensor in inputs):
            self._constants.update(map(id, outputs))
            return
        if not outputs:
            raise LoweringError(f"{name} reads a number out of a batch")
        if "out" in kwargs:
            raise LoweringError(f"{name} writes to an argument")
        arguments = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        for tensor, node in zip(outputs, self._meaning(name, func, args, arguments, outputs), strict=True):
            self._set(tensor, node)

    def _adopt(self, tensor: Tensor, scheduled: bool) -> None:
        """A tensor from outside of the loss."""
        if scheduled:
            self._set(tensor, self.graph.node("scalar", (), (), _dtype(tensor), tensor, rowwise=False))
        else:
            self._constants.add(id(tensor))

    def _set(self, tensor: Tensor, node: Node) -> None:
        self._nodes[id(tensor)] = node
        self._alive.append(tensor)

    def _node(self, tensor: Tensor, beside: Tensor) -> Node:
        """The node of an operand, shaped as it broadcasts beside a result."""
        node = self._nodes.get(id(tensor)) or self._constant(tensor)
        if not node.rowwise and _per_row(beside) and len(node.shape) == beside.dim():
            node = self.graph.index((node,), np.arange(node.size).reshape(node.shape[1:]), node.dtype, False)
        return node

    def _constant(self, tensor: Tensor) -> Node:
        array = tensor.detach().numpy().copy()
        if _per_row(tensor):
            if (array != array[:1]).any():
                raise LoweringError("a constant depends on the row's place in the batch")
            array = array[0]
        return self.graph.const(array, _dtype(tensor))

    def _meaning(self, name: str, func: Any, args: tuple, arguments: dict[str, Any], outputs: list[Tensor]) -> list[Node]:
        out, graph = outputs[0], self.graph
        if name.endswith("_"):  # in place: the tensor has a new meaning from here on
            name = name.rstrip("_")
        if name in VIEWS:
            return self._view(func, args, arguments, outputs)
        if name in REDUCTIONS or name in SOFTMAX_BACKWARD:
            return [self._reduction(name, arguments, out)]
        if name in ("gather", "scatter_add", "index_add", "cumsum"):
            return [self._exact(getattr(self, f"_{name}")(arguments, out), out)]
        dtype, translate = _dtype(out), ELEMENTWISE.get(name)
        if name in COMPARISONS:
            dtype = str(torch.result_type(*args)).removeprefix("torch.")
            translate = partial(_comparison, name)
        elif name in LOGICAL and dtype == "bool":
            translate = partial(_comparison, LOGICAL[name])
        operands = [self._operand(x, dtype, out) for x in args]
        if name == "where":
            operands[0] = self._node(args[0], out)
            translate = _where
        elif name == "masked_fill":
            operands = [self._node(args[1], out), operands[2], operands[0]]
            translate = _where
        if translate is None:
            raise LoweringError(f"the operation {name} is not known")
        named = {key: value for key, value in arguments.items() if key in ("alpha", "value", "min", "max")} if 0 else {}
        results = translate(graph, *operands, **named)
        results = results if isinstance(results, tuple) else (results,)
        return [self._exact(r if name in COMPARISONS else graph.cast(r, _dtype(o)), o) for r, o in zip(results, outputs)]
