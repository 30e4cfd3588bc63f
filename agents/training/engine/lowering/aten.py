"""What torch's operations mean in the intermediate representation, by the name of the ATen operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .graph import Graph, LoweringError, Node

VIEWS = frozenset(
    "view _unsafe_view reshape alias detach clone contiguous unsqueeze squeeze expand permute transpose t slice select "
    "split split_with_sizes unbind cat stack flip roll repeat index_select slice_backward select_backward "
    "constant_pad_nd unfold narrow lift_fresh".split()
)
SAME_FOR_ANY_VALUE = frozenset(
    "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty zeros ones full".split()
)
COMPARISONS = frozenset("eq ne lt le gt ge".split())
LOGICAL = {"bitwise_and": "and", "bitwise_or": "or", "logical_and": "and", "logical_or": "or"}
LOGICAL |= {"bitwise_not": "not", "logical_not": "not"}


def _sigmoid(g: Graph, x: Node) -> Node:
    return g("div", 1.0, g("add", g("exp", g("neg", x)), 1.0))


def _softplus(g: Graph, x: Node, beta: float = 1, threshold: float = 20) -> Node:
    if beta != 1:
        raise LoweringError(f"softplus with beta={beta}")
    return g("add", g("max", x, 0.0), g("log1p", g("exp", g("neg", g("abs", x)))))


def _clamp(g: Graph, x: Node, low: Any = None, high: Any = None) -> Node:
    x = x if low is None else g("max", x, low)
    return x if high is None else g("min", x, high)


def _log_sigmoid_backward(g: Graph, grad: Node, x: Node, buffer: Node) -> Node:
    share = g("div", buffer, g("add", buffer, 1.0))
    return g("mul", grad, g("where", g("lt", x, 0.0, dtype="bool"), g("sub", 1.0, share), share))


def _xlogy(g: Graph, x: Node, y: Node) -> Node:
    return g("where", g("eq", x, 0.0, dtype="bool"), 0.0, g("mul", x, g("log", y)))


#: Elementwise ones, all of the result's type.
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": lambda g, x, y, alpha=1: g("add", x, g("mul", y, alpha) if alpha != 1 else y),
    "sub": lambda g, x, y, alpha=1: g("sub", x, g("mul", y, alpha) if alpha != 1 else y),
    "rsub": lambda g, x, y, alpha=1: g("sub", y, g("mul", x, alpha) if alpha != 1 else x),
    "addcmul": lambda g, x, y, z, value=1: g("add", x, g("mul", g("mul", y, z), value)),
    "minimum": lambda g, x, y: g("min", x, y),
    "maximum": lambda g, x, y: g("max", x, y),
    "clamp": _clamp,
    "clamp_min": lambda g, x, low: g("max", x, low),
    "clamp_max": lambda g, x, high: g("min", x, high),
    "pow": lambda g, x, y: g.power(x, float(y)),
    "reciprocal": lambda g, x: g("div", 1.0, x),
    "rsqrt": lambda g, x: g("div", 1.0, g("sqrt", x)),
    "square": lambda g, x: g("mul", x, x),
    "exp2": lambda g, x: g("exp", g("mul", x, float(np.log(2.0)))),
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "softplus_backward": lambda g, grad, x, beta, threshold: g("mul", grad, _sigmoid(g, x)),
    "log_sigmoid_backward": _log_sigmoid_backward,
    "log_sigmoid_forward": lambda g, x: (
        g("sub", g("min", x, 0.0), g("log1p", g("exp", g("neg", g("abs", x))))),
        g("exp", g("neg", g("abs", x))),
    ),
    "xlogy": _xlogy,
    "tanh": lambda g, x: g("sub", 1.0, g("div", 2.0, g("add", g("exp", g("mul", x, 2.0)), 1.0))),
    "sinh": lambda g, x: g("mul", g("sub", g("exp", x), g("exp", g("neg", x))), 0.5),
    "cosh": lambda g, x: g("mul", g("add", g("exp", x), g("exp", g("neg", x))), 0.5),
    "sgn": lambda g, x: g("sign", x),
    "_to_copy": lambda g, x, **_: x,
    **{name: (lambda g, *args, _op=name: g(_op, *args)) for name in "mul div neg abs exp log expm1 log1p sqrt".split()},
    **{name: (lambda g, *args, _op=name: g(_op, *args)) for name in "sign round floor trunc".split()},
}


def _log_softmax(g: Graph, x: Node, over: Callable[[str, Node], Node]) -> Node:
    shifted = g("sub", x, over("amax", x))
    exponential = g("exp", shifted)
    total = over("sum", exponential)
    result = g("sub", shifted, g("log", total))
    g.softmax_of[result] = g("div", exponential, total)
    return result


def _vector_norm(g: Graph, x: Node, over: Callable[[str, Node], Node]) -> Node:
    return g("sqrt", over("sum", g("mul", x, x)))


#: Those that reduce, with or without the reduced axes, by `over(op, x)`, which keeps them.
REDUCTIONS: dict[str, Callable[[Graph, Node, Callable[[str, Node], Node]], Node]] = {
    "sum": lambda g, x, over: over("sum", x),
    "mean": lambda g, x, over: over("mean", x),
    "amax": lambda g, x, over: over("amax", x),
    "amin": lambda g, x, over: over("amin", x),
    "any": lambda g, x, over: over("amax", x),
    "all": lambda g, x, over: over("amin", x),
    "linalg_vector_norm": _vector_norm,
    "logsumexp": lambda g, x, over: g("add", over("amax", x), g("log", over("sum", g("exp", g("sub", x, over("amax", x)))))),
    "_log_softmax": _log_softmax,
    "_softmax": lambda g, x, over: g("exp", _log_softmax(g, x, over)),
}  # fmt: skip

#: Their gradients: (graph, gradient, result, over).
SOFTMAX_BACKWARD: dict[str, Callable[[Graph, Node, Node, Callable[[str, Node], Node]], Node]] = {
    "_log_softmax_backward_data": lambda g, grad, out, over: g("sub", grad, g("mul", g("exp", out), over("sum", grad))),
    "_softmax_backward_data": lambda g, grad, out, over: g("mul", out, g("sub", grad, over("sum", g("mul", grad, out)))),
}
