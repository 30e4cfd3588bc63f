"""The last stage's nodes in an order of loops: what can be computed in one pass over the rows of a tile.

A segment is a pass over the lanes of a tile, within a loop over the elements for values of more than NARROW of them
("wide", all of one size; the others are "narrow" and unrolled). A reduction of wide values is there after its segment,
and so is everything from which another element than the loop's own is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .graph import Node, broadcast_index

NARROW = 8
REDUCTIONS = frozenset(("sum", "scatter_sum", "amax", "amin"))
NOTHING = Node("const", (), (), "float32", np.zeros((), np.float32), False, frozenset())  # what an index fills in


class Segment(NamedTuple):
    """Nodes computed together; "alone" is a cumulative sum or a concatenation, which has its own loops."""

    kind: str
    size: int
    nodes: list[Node]


class Plan:
    """Segments for `sinks`, of which nothing else is made; `given` nodes are there."""

    def __init__(self, sinks: Iterable[Node], given: Iterable[Node]) -> None:
        self.given = set(given)
        self._joined: set[Node] = set()  # re-indexed nodes that draw from several others
        self._nodes: dict[Node, None] = {}
        for sink in sinks:
            self._visit(sink)
        self._needs = {node: self._sources(node) for node in self._nodes}
        self.segments = self._scheduled()
        self.stored = self._passed_on()

    def element(self, node: Node, position: int) -> tuple[Node, int]:
        """Where an element of a node is computed."""
        while node.op == "index" and node not in self._joined and node not in self.given:
            position = int(node.data.flat[position])
            if position < 0:
                return NOTHING, 0
            node, position = _part(node, position)
        return node, position

    def operand(self, node: Node, arg: Node) -> tuple[Node, np.ndarray]:
        """What an argument draws from, and which element of it each element of the loop over `node` takes."""
        shape = arg.shape if node.op in REDUCTIONS or node.op == "cumsum" else node.shape
        elements = [self.element(arg, int(position)) for position in broadcast_index(arg.shape, shape).flat]
        return elements[0][0], np.array([position for _, position in elements])

    def parts(self, node: Node) -> dict[Node, list[tuple[int, int]]]:
        """(to, from) of the elements that a joined node takes from each of its sources."""
        found: dict[Node, list[tuple[int, int]]] = {}
        for to, position in enumerate(node.data.flat):
            source, at = self.element(*_part(node, int(position))) if position >= 0 else (NOTHING, 0)
            found.setdefault(source, []).append((to, at))
        return found

    def _visit(self, node: Node) -> None:
        if node in self._nodes or node in self.given or node.op == "const":
            return
        for arg in node.args:
            self._visit(arg)
        if node.op == "index":
            if node.size <= NARROW or len({self.element(node, e)[0] for e in range(node.size)}) == 1:
                return
            self._joined.add(node)
        self._nodes[node] = None

    def _sources(self, node: Node) -> dict[Node, None]:
        if node in self._joined:
            return dict.fromkeys(self.parts(node))
        return dict.fromkeys(self.element(arg, position)[0] for arg in node.args for position in range(arg.size))

    def _kind(self, node: Node) -> tuple[str, int]:
        size = max([node.size, *(arg.size for arg in node.args)]) if node.op in REDUCTIONS else node.size
        if size <= NARROW:
            return "narrow", 1
        return ("alone", id(node)) if node in self._joined or node.op == "cumsum" else ("wide", size)

    def _scheduled(self) -> list[Segment]:
        waiting = {node: self._kind(node) for node in self._nodes}
        segments = []
        while waiting:
            possible = [Segment(*kind, self._together(kind, waiting)) for kind in dict.fromkeys(waiting.values())]
            segments.append(max(possible, key=lambda segment: len(segment.nodes)))
            for node in segments[-1].nodes:
                del waiting[node]
        return segments

    def _together(self, kind: tuple[str, int], waiting: dict[Node, tuple[str, int]]) -> list[Node]:
        """All that can be computed next in a segment of this kind."""
        taken: dict[Node, None] = {}
        for node, its_kind in waiting.items():
            if its_kind == kind and all(
                source not in waiting or (source in taken and self._in_step(source, node))
                for source in self._needs[node]
            ):
                taken[node] = None
        return list(taken)

    def _in_step(self, source: Node, node: Node) -> bool:
        """Whether `node` takes from `source`, of the same segment, what the loop has just computed."""
        if self._kind(node)[0] == "narrow":
            return True
        if source.op in REDUCTIONS:
            return False
        places = [where for base, where in (self.operand(node, arg) for arg in node.args) if base is source]
        return all(np.array_equal(where, np.arange(source.size)) for where in places)

    def _passed_on(self) -> dict[Node, None]:
        """What needs an array, since other segments read it."""
        found: dict[Node, None] = {}
        for segment in self.segments:
            inside = set() if segment.kind == "alone" else set(segment.nodes)
            for node in segment.nodes:
                found |= dict.fromkeys(source for source in self._needs[node] if source not in inside)
                if segment.kind == "alone" or (segment.kind == "wide" and node.op in REDUCTIONS):
                    found[node] = None
        return {node: None for node in found if node.op != "const" and (node.rowwise or node not in self.given)}


def targets(node: Node) -> np.ndarray:
    """Which element of a reduction each element of its argument goes to."""
    return (node.data if node.op == "scatter_sum" else broadcast_index(node.shape, node.args[0].shape)).ravel()


def _part(node: Node, position: int) -> tuple[Node, int]:
    """The argument, and the place in it, of a place in the concatenation of all."""
    for arg in node.args:
        if position < arg.size:
            return arg, position
        position -= arg.size
    raise IndexError(position)
