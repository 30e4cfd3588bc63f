"""The graph's last stage as one loop over rows: Python source that Numba compiles.

All numbers per row are float32. Rows go in tiles of LANES; a value that outlives its segment is an array [size, LANES],
on the stack where that is large enough. Loops over the lanes have no branches and no calls, so that LLVM makes vector
instructions of them.
"""

from __future__ import annotations

import numpy as np

from .graph import Node
from .numba_expressions import COMBINED, EXPRESSIONS, HEADER, START, as_number, expression
from .segments import REDUCTIONS, Plan, Segment, targets

LANES = 16
ON_STACK = 1 << 16  # numbers that fit there in any thread
ARGUMENTS = "rows, packed, extra, parameters, values, advantages, numbers, extra_numbers, d_parameters, d_values, means"


class RowLoop:
    """The source of `kernel(ARGUMENTS)`, which fills d_parameters [B, P], d_values [B] and means [M].

    `given` says how element {j} of a node is read, for row i of the minibatch and k of the rollout; the nodes that are
    the same for all rows are among them.
    """

    def __init__(self, outputs: list[Node], given: dict[Node, str]) -> None:
        self.given = given
        self.sinks = [Node("copy", (x,), x.shape, x.dtype, None, True, x.origin) for x in outputs]
        self.plan = Plan(self.sinks, given)
        self.plan.stored.update(dict.fromkeys(self.sinks[:2]))
        self._names: dict[Node, str] = {}
        self._constants: dict[str, str] = {}  # expression of numbers or tables -> name
        self._numbers: dict[str, str] = {}
        self._local: dict[tuple[Node, int], str] = {}  # what the segment at hand has computed
        self._prelude: dict[str, str] = {}  # per element of its loop: expression -> name

    def source(self) -> str:
        """A module."""
        tile = [line for segment in self.plan.segments for line in self._segment(segment)]
        loads = [line for node in self.plan.stored if node in self.given for line in self._load(node)]
        d_parameters, d_values = (self._name(sink) for sink in self.sinks[:2])
        metrics = len(self.sinks) - 2
        kernel = [
            "n = len(rows)",
            "share = np.float32(1.0 / n)",
            *(f"{name} = {expression}" for expression, name in self._numbers.items()),
            *(self._array(self._name(node), node.size) for node in self.plan.stored),
            self._array("alive", 1),
            self._array("sums", metrics, 64),
            f"for q in range({metrics * LANES}):",
            "    sums[q] = 0.0",
            f"for start in range(0, n, {LANES}):",
            f"    for r in range({LANES}):",
            "        i = min(start + r, n - 1)",
            "        k = rows[i]",
            "        alive[r] = ONE if start + r < n else ZERO",
            *_indented(loads, 2),
            *_indented(tile),
            f"    for r in range(min({LANES}, n - start)):",
            f"        d_values[start + r] = {d_values}[r] * share",
            f"        for j in range({self.sinks[0].size}):",
            f"            d_parameters[start + r, j] = {d_parameters}[j * {LANES} + r] * share",
            f"for m in range({metrics}):",
            "    total = 0.0",
            f"    for r in range({LANES}):",
            f"        total += sums[m * {LANES} + r]",
            "    means[m] = total / n",
        ]
        head = [f"{name} = {expression}" for expression, name in self._constants.items()]
        decorator = '@njit(cache=CACHE, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})'
        return "\n".join([HEADER, *head, "", "", decorator, f"def kernel({ARGUMENTS}):", *_indented(kernel), ""])

    def _array(self, name: str, size: int, bits: int = 32) -> str:
        if sum(node.size for node in self.plan.stored) * LANES > ON_STACK:
            return f"{name} = np.empty({size * LANES}, np.float{bits})"
        return f"{name} = carray(float{bits}_pointer({size * LANES}), ({size * LANES},))"

    def _load(self, node: Node) -> list[str]:
        if node.size == 1:
            return [f"{self._name(node)}[r] = {self.given[node].format(j=0)}"]
        read = self.given[node].format(j="j")
        return [f"for j in range({node.size}):", f"    {self._name(node)}[j * {LANES} + r] = {read}"]

    def _segment(self, segment: Segment) -> list[str]:
        self._local, self._prelude = {}, {}
        if segment.kind == "narrow":
            body = [line for node in segment.nodes for e in range(node.size) for line in self._narrow(node, e)]
            return [f"for r in range({LANES}):", *_indented(body)]
        if segment.kind == "alone":
            (node,) = segment.nodes
            return self._cumulative(node) if node.op == "cumsum" else self._joined(node)
        starts = [line for node in segment.nodes if node.op in REDUCTIONS for line in self._start(node)]
        body = [line for node in segment.nodes for line in self._wide(node)]
        prelude = [f"{name} = {expression}" for expression, name in self._prelude.items()]
        loop = [f"q = j * {LANES}", *prelude, f"for r in range({LANES}):", *_indented(body)]
        return [*starts, f"for j in range({segment.size}):", *_indented(loop)]

    def _narrow(self, node: Node, e: int) -> list[str]:
        name = f"{self._name(node)}_{e}"
        if node.op in REDUCTIONS:
            terms = [self._read_element(node.args[0], int(p)) for p in np.flatnonzero(targets(node) == e)] or ["ZERO"]
            lines = [f"{name} = {terms[0]}"]
            lines += [f"{name} = {EXPRESSIONS[COMBINED[node.op]].format(name, term)}" for term in terms[1:]]
        elif node.op == "cumsum":
            before = f"{self._name(node)}_{e - 1} + " if e % node.shape[-1] else ""
            lines = [f"{name} = {before}{self._read_element(node.args[0], e)}"]
        else:
            places = [_place(arg, node, e) for arg in node.args]
            operands = [self._read_element(arg, p) for arg, p in zip(node.args, places, strict=True)]
            lines = [f"{name} = {expression(node).format(*operands)}"]
        self._local[node, e] = name
        if node in self.plan.stored:
            lines.append(f"{self._name(node)}[{e * LANES} + r] = {as_number(node, name)}")
        if node in self.sinks[2:]:
            place = (self.sinks.index(node) - 2) * LANES
            lines.append(f"sums[{place} + r] += np.float64(alive[r] * {name})")
        return lines

    def _wide(self, node: Node) -> list[str]:
        operands = [self._read(*self.plan.operand(node, arg)) for arg in node.args]
        if node.op in REDUCTIONS:
            total = f"{self._name(node)}[{self._offset(targets(node))} + r]"
            return [f"t = {total}", f"{total} = {EXPRESSIONS[COMBINED[node.op]].format('t', operands[0])}"]
        name = f"{self._name(node)}_j"
        self._local[node, -1] = name
        lines = [f"{name} = {expression(node).format(*operands)}"]
        if node in self.plan.stored:
            lines.append(f"{self._name(node)}[q + r] = {as_number(node, name)}")
        return lines

    def _start(self, node: Node) -> list[str]:
        return [f"for q in range({node.size * LANES}):", f"    {self._name(node)}[q] = {START[node.op]}"]

    def _cumulative(self, node: Node) -> list[str]:
        x, name = self._read(*self.plan.operand(node, node.args[0])), self._name(node)
        prelude = [f"{n} = {expression}" for expression, n in self._prelude.items()]
        return [
            f"for j in range({node.size}):",
            f"    q = j * {LANES}",
            *_indented(prelude),
            f"    if j % {node.shape[-1]} == 0:",
            f"        for r in range({LANES}):",
            f"            {name}[q + r] = {x}",
            "    else:",
            f"        for r in range({LANES}):",
            f"            {name}[q + r] = {name}[q - {LANES} + r] + {x}",
        ]

    def _joined(self, node: Node) -> list[str]:
        lines = []
        for base, places in self.plan.parts(node).items():
            self._prelude = {}
            to, at = (np.array(column) for column in zip(*places, strict=True))
            x, place = self._read(base, at), self._offset(to)
            prelude = [f"{name} = {expression}" for expression, name in self._prelude.items()]
            write = f"{self._name(node)}[{place} + r] = {as_number(node, x)}"
            loop = [f"q = j * {LANES}", *prelude, f"for r in range({LANES}):", f"    {write}"]
            lines += [f"for j in range({len(to)}):", *_indented(loop)]
        return lines

    def _read_element(self, arg: Node, position: int) -> str:
        base, at = self.plan.element(arg, position)
        return self._read(base, np.array([at]))

    def _read(self, base: Node, where: np.ndarray) -> str:
        """Elements `where` of a node, the j-th in the j-th turn of a loop."""
        first = int(where[0])
        same = bool((where == first).all())
        if (base, -1) in self._local:
            return self._local[base, -1]
        if same and (base, first) in self._local:
            return self._local[base, first]
        if base.op == "const":
            values = base.data.flat[where] if base.shape else base.data.ravel()
            if (values == values[0]).all():
                return self._literal(values[0])
            entry = self._entry(f"np.array({_listed(values.tolist())}, np.float32)")
            return f"({entry} != ZERO)" if base.dtype == "bool" else entry
        if base in self.given and not base.rowwise:
            if not same:
                return self._per_turn(
                    f"np.float32({self.given[base].format(j=self._entry(f'np.array({where.tolist()})'))})"
                )
            number = self._numbers.setdefault(
                f"np.float32({self.given[base].format(j=first)})", f"s{len(self._numbers)}"
            )
            return f"({number} != ZERO)" if base.dtype == "bool" else number
        value = f"{self._name(base)}[{self._offset(where)} + r]"
        return f"({value} != ZERO)" if base.dtype == "bool" else value

    def _offset(self, where: np.ndarray) -> str:
        if (where == where[0]).all():
            return str(int(where[0]) * LANES)
        if np.array_equal(where, np.arange(len(where))):
            return "q"
        # The mask says that it is not negative, so that no index is counted from the end, and loops vectorise.
        return self._per_turn(f"{self._entry(f'np.array({(where * LANES).tolist()})')} & {0x7FFFFFFF}")

    def _entry(self, table: str) -> str:
        """What a table holds for the j-th turn."""
        return self._per_turn(f"{self._constants.setdefault(table, f'T{len(self._constants)}')}[j]")

    def _per_turn(self, expression: str) -> str:
        return self._prelude.setdefault(expression, f"p{len(self._prelude)}")

    def _literal(self, value: np.generic) -> str:
        if value.dtype == bool:
            return str(bool(value))
        return self._constants.setdefault(f"np.float32({_listed(value.item())})", f"C{len(self._constants)}")

    def _name(self, node: Node) -> str:
        return self._names.setdefault(node, f"v{len(self._names)}")


def _place(arg: Node, node: Node, e: int) -> int:
    """The element of an argument that broadcasts to element e of a node."""
    place = 0
    position = np.unravel_index(e, node.shape)[len(node.shape) - len(arg.shape) :] if node.shape else ()
    for size, at in zip(arg.shape, position, strict=True):
        place = place * size + (int(at) if size > 1 else 0)
    return place


def _listed(values: object) -> str:
    return repr(values).replace("inf", "np.inf").replace("nan", "np.nan")


def _indented(lines: list[str], depth: int = 1) -> list[str]:
    return [" " * 4 * depth + line for line in lines]
