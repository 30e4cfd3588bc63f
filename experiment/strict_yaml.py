"""YAML that can't surprise: no Python tags, no duplicate keys, bounded size and depth, errors with line and column."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from .errors import CommandError, ExitCode, usage

MAX_BYTES = 128 * 1024
MAX_DEPTH = 32
MAX_NODES = 50_000


class StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and deep nesting, and reads `3e-4` as a number (YAML 1.2)."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.checked: set[int] = set()  # a merged mapping comes by again, with the inherited keys in it

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {MAX_DEPTH}", problem_mark=self.peek_event().start_mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        seen: set[object] = set()
        for key, _ in [] if id(node) in self.checked else node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a plain word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"duplicate key {key.value!r}", problem_mark=key.start_mark)
            seen.add(key.value)
        self.checked.add(id(node))
        super().flatten_mapping(node)


StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping in a YAML file.

    Raises:
        CommandError: 66 if the file is missing or unreadable, 2 with line and column if it is no plain YAML mapping.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CommandError(ExitCode.NO_INPUT, f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_BYTES:
        raise usage(f"{path}: larger than {MAX_BYTES // 1024} KiB, not a configuration file")
    try:
        return parse_yaml(data.decode())
    except (ValueError, yaml.YAMLError) as error:
        raise usage(f"{path}: {_problem(error)}") from error


def parse_yaml(text: str) -> dict[str, object]:
    """The mapping in a YAML text.

    Raises:
        yaml.YAMLError: for broken YAML, foreign tags, duplicate keys or too deep nesting.
        ValueError: if the document is no mapping, refers to itself or multiplies through aliases.
    """
    loader = StrictLoader(text)
    try:
        node = loader.get_single_node()
        if node is None or not isinstance(node, yaml.MappingNode):
            raise ValueError("must be a mapping, `name: value`")
        if _expanded_size(node, {}) > MAX_NODES:
            raise ValueError(f"expands to more than {MAX_NODES} values")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _expanded_size(node: yaml.Node, sizes: dict[int, float]) -> float:
    """The number of values once aliases are written out; infinite for a node that contains itself."""
    if id(node) not in sizes:
        sizes[id(node)] = float("inf")
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        pairs = [n for child in children for n in (child if isinstance(child, tuple) else (child,))]
        sizes[id(node)] = 1 + sum(_expanded_size(child, sizes) for child in pairs)
    return sizes[id(node)]


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', None) or error}"
