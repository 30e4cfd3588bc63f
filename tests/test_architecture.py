"""Who may import whom: each floor stands on those below it, and nothing goes round in a circle."""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = ("agents.suggest", "agents.jit")  # the closest match in an error message, Numba: for every floor of agents
GEOMETRY = (*BASE, "agents.geometry")
DISTRIBUTIONS = (*GEOMETRY, "agents.distributions")
OBJECTIVES = (*DISTRIBUTIONS, "agents.objectives")
POLICIES = (*DISTRIBUTIONS, "agents.policies")
FLOORS = {  # floor -> the modules of ours that it may import; the longest prefix of a module's name is its floor
    "agents.suggest": BASE,
    "agents.jit": BASE,
    "agents.geometry": GEOMETRY,
    "agents.distributions": DISTRIBUTIONS,
    "agents.objectives": OBJECTIVES,
    "agents.policies": POLICIES,
    "agents.tabular": (*GEOMETRY, "agents.tabular"),
    "agents.training": (*OBJECTIVES, *POLICIES, "agents.training"),
    "agents": ("agents",),
    "envs": ("envs",),
    "experiment": ("agents", "envs", "experiment"),
    "benchmark": ("agents", "envs", "experiment", "benchmark"),
}
PURE = ("agents.geometry", "agents.distributions", "agents.objectives")  # torch is all they know of the outside
COMPILED = ("agents.geometry.kernels", "agents.geometry.acceleration")  # optional, loaded on use
OURS = ("agents", "envs", "experiment", "benchmark")


def inside(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def module_files() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    files = [file for package in OURS for file in (ROOT / package).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = module_files()


class AtRunTime(ast.NodeTransformer):
    """Drops what only type checkers import."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports(module: str, *, run_time: bool = False) -> set[str]:
    """What a module imports anywhere, lazily or not, relative names resolved; `run_time`: not for annotations alone."""
    file = MODULES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(AtRunTime().visit(tree) if run_time else tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            members = {f"{source}.{alias.name}" for alias in node.names}
            known = members & MODULES.keys()
            found |= known | ({source} if known != members else set())
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_keeps_to_its_floor(module: str) -> None:
    floor = max((floor for floor in FLOORS if inside(module, (floor,))), key=len)
    imported = imports(module)
    ours = {name for name in imported if inside(name, OURS)}
    assert not {name for name in ours if not inside(name, FLOORS[floor])}
    if inside(module, PURE):
        outside = {name.partition(".")[0] for name in imported - ours}
        compiled = {"numpy", "numba"} if inside(module, COMPILED) else set()
        assert outside <= {"torch", *compiled, *sys.stdlib_module_names}


def test_no_import_cycle() -> None:
    graph = {module: imports(module, run_time=True) & MODULES.keys() for module in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle
