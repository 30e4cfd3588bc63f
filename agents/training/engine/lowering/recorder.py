"""Sees what torch does to a batch of rows, operation by operation.

What does not depend on the rows is a constant, except 0-d tensors from outside the loss: the scheduled scalars.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ....geometry import Divergence
from .aten import CONSTANTS
from .graph import LoweringError, Node, Operator
from .translator import BATCH, Translator, dtype_of, tensors_in


class Recorder(TorchDispatchMode):
    """The graph of the operations under it, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.listening = True
        self._translator = Translator()
        self._constants: set[int] = set()
        self._alive: list[Any] = []  # so that no id is used again

    def input(self, name: str, tensor: Tensor, origin: str) -> None:
        """A tensor with a value per row."""
        node = self._translator.graph.node(
            "input", (), tensor.shape[1:], dtype_of(tensor), name, rowwise=True, origin=frozenset([origin])
        )
        self._set(tensor, node)

    def node(self, tensor: Tensor) -> Node:
        """What a tensor is in the graph."""
        return self._translator.node(tensor)

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
        if log_q is not None and id(log_q) in self._translator.nodes:
            raise LoweringError("the reference of the head is not a constant")
        x = self._translator.exact(self.node(logits), logits)
        q = None if log_q is None else np.broadcast_to(self.node(log_q).data, x.shape).tobytes()
        node = self._translator.graph.node("softargmax", (x,), x.shape, x.dtype, Operator(divergence, temperature, q))
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
        inputs, outputs = tensors_in((args, kwargs)), tensors_in(out)
        self._alive.append((inputs, outputs))
        for tensor in inputs:
            self._adopt(tensor, name)
        if name in CONSTANTS or not any(id(tensor) in self._translator.nodes for tensor in inputs):
            self._constants.update(map(id, outputs))
            return
        if not outputs:
            raise LoweringError(f"{name} reads a number out of the batch")
        if "out" in kwargs:
            raise LoweringError(f"{name} writes to an argument")
        # In place, a tensor has another meaning from here on.
        nodes = self._translator.meaning(name.rstrip("_") if name.endswith("_") else name, func, args, kwargs, outputs)
        for tensor, node in zip(outputs, nodes, strict=True):
            self._set(tensor, node)

    def _adopt(self, tensor: Tensor, used_by: str) -> None:
        if id(tensor) in self._translator.nodes or id(tensor) in self._constants:
            return
        number = tensor.dim() == 0 and tensor.is_floating_point() and used_by != "lift_fresh"
        if number and tensor.item() != BATCH:
            self._set(tensor, self._translator.graph.node("scalar", (), (), dtype_of(tensor), tensor, rowwise=False))
        else:
            self._constants.add(id(tensor))

    def _set(self, tensor: Tensor, node: Node) -> None:
        self._translator.nodes[id(tensor)] = node
        self._alive.append(tensor)
