"""What torch's operations mean in the graph, by the name of the ATen operator."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .graph import Graph, LoweringError, Node

Over = Callable[[str, Node], Node]

VIEWS = frozenset(
    (
        "view _unsafe_view alias detach clone unsqueeze squeeze expand permute transpose t slice select split unbind "
        "cat split_with_sizes stack flip repeat index_select slice_backward select_backward constant_pad_nd"
    ).split()
)
#: Whatever the values of their arguments.
CONSTANTS = frozenset("zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty".split())
COMPARISONS = frozenset("eq ne lt le gt ge".split())


def _plain(op: str, g: Graph, *operands: Any) -> Node:
    return g(op, *operands)


def _logical(op: str, g: Graph, *operands: Node) -> Node:
    if any(operand.dtype != "bool" for operand in operands):
        raise LoweringError(f"{op} of integers, bit by bit")
    return g(op, *operands)


def _compared(op: str, g: Graph, *operands: Any) -> Node:
    return g(op, *operands, dtype="bool")


def _add(g: Graph, x: Node, y: Any, alpha: float = 1) -> Node:
    return g("add", x, y if alpha == 1 else g("mul", y, alpha))


def _sub(g: Graph, x: Any, y: Node, alpha: float = 1) -> Node:
    return g("sub", x, y if alpha == 1 else g("mul", y, alpha))


def _clamp(g: Graph, x: Node, min: Any = None, max: Any = None) -> Node:
    x = x if min is None else g("max", x, min)
    return x if max is None else g("min", x, max)


def _sigmoid(g: Graph, x: Node) -> Node:
    return g("div", 1.0, g("add", g("exp", g("neg", x)), 1.0))


def _below_one(g: Graph, x: Node) -> Node:
    return g("exp", g("neg", g("abs", x)))


def _softplus(g: Graph, x: Node, beta: float = 1, threshold: float = 20) -> Node:
    if beta != 1:
        raise LoweringError(f"softplus with beta={beta}")
    return g("add", g("max", x, 0.0), g("log1p", _below_one(g, x)))


def _log_sigmoid(g: Graph, x: Node) -> tuple[Node, Node]:
    return g("sub", g("min", x, 0.0), g("log1p", _below_one(g, x))), _below_one(g, x)


def _log_sigmoid_backward(g: Graph, grad: Node, x: Node, buffer: Node) -> Node:
    share = g("div", buffer, g("add", buffer, 1.0))
    return g("mul", grad, g("where", g("lt", x, 0.0, dtype="bool"), g("sub", 1.0, share), share))


def _xlogy(g: Graph, x: Node, y: Node) -> Node:
    return g("where", g("eq", x, 0.0, dtype="bool"), 0.0, g("mul", x, g("log", y)))


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{op: partial(_plain, op) for op in "mul div neg abs exp log expm1 log1p sqrt round where".split()},
    **{op: partial(_compared, op) for op in COMPARISONS},
    **{f"{kind}_{op}": partial(_logical, op) for kind in ("bitwise", "logical") for op in ("and", "or", "not")},
    "add": _add,
    "sub": _sub,
    "rsub": lambda g, x, y, alpha=1: _sub(g, y, x, alpha),
    "addcmul": lambda g, x, y, z, value=1: _add(g, x, g("mul", y, z), value),
    "minimum": partial(_plain, "min"),
    "maximum": partial(_plain, "max"),
    "clamp": _clamp,
    "clamp_min": lambda g, x, bound: _clamp(g, x, bound),
    "clamp_max": lambda g, x, bound: _clamp(g, x, None, bound),
    "masked_fill": lambda g, x, mask, value: g("where", mask, value, x),
    "pow": lambda g, x, exponent: g.power(x, float(exponent)),
    "reciprocal": lambda g, x: g("div", 1.0, x),
    "rsqrt": lambda g, x: g("div", 1.0, g("sqrt", x)),
    "exp2": lambda g, x: g("exp", g("mul", x, float(np.log(2.0)))),
    "sgn": partial(_plain, "sign"),
    "sign": partial(_plain, "sign"),
    "sigmoid": _sigmoid,
    "sigmoid_backward": lambda g, grad, y: g("mul", grad, g("mul", y, g("sub", 1.0, y))),
    "tanh_backward": lambda g, grad, y: g("mul", grad, g("sub", 1.0, g("mul", y, y))),
    "softplus": _softplus,
    "softplus_backward": lambda g, grad, x, beta, threshold: g("mul", grad, _sigmoid(g, x)),
    "log_sigmoid_forward": _log_sigmoid,
    "log_sigmoid_backward": _log_sigmoid_backward,
    "xlogy": _xlogy,
    "tanh": lambda g, x: g("sub", 1.0, g("div", 2.0, g("add", g("exp", g("mul", x, 2.0)), 1.0))),
    "_to_copy": lambda g, x, **_: x,
}


def _reduced(op: str, g: Graph, x: Node, over: Over) -> Node:
    return over(op, x)


def _log_softmax(g: Graph, x: Node, over: Over) -> Node:
    shifted = g("sub", x, over("amax", x))
    exponential = g("exp", shifted)
    total = over("sum", exponential)
    result = g("sub", shifted, g("log", total))
    g.softmax_of[result] = g("div", exponential, total)
    return result


def _logsumexp(g: Graph, x: Node, over: Over) -> Node:
    best = over("amax", x)
    return g("add", best, g("log", over("sum", g("exp", g("sub", x, best)))))


#: `over(op, x)` reduces and keeps the axes, with size 1.
REDUCTIONS: dict[str, Callable[[Graph, Node, Over], Node]] = {
    **{op: partial(_reduced, op) for op in ("sum", "mean", "amax", "amin")},
    "linalg_vector_norm": lambda g, x, over: g("sqrt", over("sum", g("mul", x, x))),
    "logsumexp": _logsumexp,
    "_log_softmax": _log_softmax,
    "_softmax": lambda g, x, over: g("exp", _log_softmax(g, x, over)),
}
#: Of the gradient and the result.
SOFTMAX_BACKWARD: dict[str, Callable[[Graph, Node, Node, Over], Node]] = {
    "_log_softmax_backward_data": lambda g, grad, y, over: g("sub", grad, g("mul", g("exp", y), over("sum", grad))),
    "_softmax_backward_data": lambda g, grad, y, over: g("mul", y, g("sub", grad, over("sum", g("mul", grad, y)))),
}
