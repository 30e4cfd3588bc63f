"""When each node of the graph is computed: once per rollout, once per minibatch over all its rows, or row by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .graph import Node, ordered

#: Dear enough to be kept for the whole update; what is made of them is kept in their place if it is not larger.
DEAR = frozenset("exp log expm1 log1p sqrt round div sum amax amin cumsum scatter_sum softargmax".split())


NO_NUMBERS = np.zeros(0)


class Stages(NamedTuple):
    """Nodes that one stage hands to the later ones; the last computes all that is left."""

    rollout: list[Node]  # from the rollout's columns and the scalars alone
    minibatch: list[Node]  # what looks at all rows at once, or calls the f-softargmax


def split(outputs: list[Node]) -> Stages:
    """The stages of a graph."""
    order = [node for node in ordered(outputs) if node.op not in ("input", "const")]
    early: dict[Node, None] = {}
    for node in order:
        built_on = any(arg in early and arg.rowwise and arg.size >= node.size for arg in node.args)
        if node.origin <= {"rollout"} and (_is_number(node) or node.op in DEAR or built_on):
            early[node] = None
    whole = [node for node in order if node not in early and (_is_number(node) or node.op == "softargmax")]
    middle = dict.fromkeys(needed(whole, early))
    late = [node for node in order if node not in early and node not in middle]
    return Stages(_handed(early, [*middle, *late], outputs), _handed(middle, late, outputs))


def _is_number(node: Node) -> bool:
    return not node.rowwise and node.op != "index"


def needed(outputs: Iterable[Node], given: Iterable[Node]) -> list[Node]:
    """All nodes to compute for the outputs, arguments first."""
    given = set(given)
    order: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node in given or node in order or node.op in ("input", "const"):
            return
        for arg in node.args:
            visit(arg)
        order[node] = None

    for node in outputs:
        visit(node)
    return list(order)


def _handed(made: Iterable[Node], users: Iterable[Node], outputs: list[Node]) -> list[Node]:
    used = {arg for node in users for arg in node.args} | set(outputs)
    return [node for node in made if node in used]


class Layout:
    """Where values lie that are handed on: side by side in a matrix [rows, width], or in a vector of numbers."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.rows: dict[Node, slice] = {}
        self.numbers: dict[Node, slice] = {}
        self.width = self.count = 0
        for node in nodes:
            if node.rowwise:
                self.rows[node] = slice(self.width, self.width + node.size)
                self.width += node.size
            else:
                self.numbers[node] = slice(self.count, self.count + node.size)
                self.count += node.size

    def packed(self, values: dict[Node, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
        """The matrix and the vector (float64)."""
        if len(self.rows) == 1 and not self.count:
            (only,) = self.rows
            return values[only].reshape(n, -1).astype(np.float32, copy=False), NO_NUMBERS
        matrix, vector = np.empty((n, self.width), np.float32), np.empty(self.count)
        for node, place in self.rows.items():
            matrix[:, place] = values[node].reshape(n, node.size)
        for node, place in self.numbers.items():
            vector[place] = values[node].ravel()
        return matrix, vector

    def unpacked(
        self, nodes: Iterable[Node], matrix: np.ndarray, rows: np.ndarray, vector: np.ndarray
    ) -> dict[Node, np.ndarray]:
        """Those of the nodes whose values are here, at some rows."""
        values = {}
        for node in nodes:
            if node in self.rows:
                values[node] = matrix[:, self.rows[node]].take(rows, axis=0).reshape(-1, *node.shape)
            elif node in self.numbers:
                values[node] = vector[self.numbers[node]].reshape(node.shape)
        return {node: value.astype(node.dtype, copy=False) for node, value in values.items()}
