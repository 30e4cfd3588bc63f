"""`key:value` arguments: Python literals, the zoo's `dict(...)`, and plain words. Nothing is executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

KEY = re.compile(r"([A-Za-z_]\w*)\s*[:=](.*)", re.DOTALL)
WORDS = {"true": True, "false": False, "none": None, "null": None}
MAX_LENGTH = 10_000


def parse_pairs(items: Iterable[str]) -> dict[str, object]:
    """`["gamma:0.9", "policy_kwargs:dict(net_arch=[64])"]` as a dict; `key=value` is understood too.

    Raises:
        ValueError: for an item without a key or a value, or a key given twice.
    """
    values: dict[str, object] = {}
    for item in items:
        match = KEY.fullmatch(item)
        if match is None or not match[2].strip():
            raise ValueError(f"{item!r}: the form is key:value, as in learning_rate:3e-4")
        key, text = match[1], match[2].strip()
        if key in values:
            raise ValueError(f"{key!r} is given twice")
        values[key] = parse_value(text)
    return values


def parse_value(text: str) -> object:
    """A Python literal, `dict(a=1)`, a class name such as `nn.ReLU` (kept as text), or the text itself.

    Raises:
        ValueError: if the text is longer than MAX_LENGTH or opens a bracket that makes no literal.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a value of {len(text)} characters is too long (at most {MAX_LENGTH})")
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return _literal(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        if any(c in text for c in "()[]{}"):
            known = "numbers, strings, lists and dict(name=value)"
            raise ValueError(f"{text[:80]!r} is no literal: {known} are understood") from error
        return text


def _literal(node: ast.expr) -> object:
    match node:
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(k.arg for k in keywords):
            return {str(k.arg): _literal(k.value) for k in keywords}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_literal(k): _literal(v) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_literal(element) for element in elements]
        case ast.Name() | ast.Attribute():
            return ast.unparse(node)
        case _:
            return ast.literal_eval(node)
