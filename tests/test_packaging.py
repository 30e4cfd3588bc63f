"""The checkout as a package: what it imports, pins, ships, and never contains."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [ROOT / name for name in ("agents", "envs", "experiment", "benchmark") if (ROOT / name).is_dir()]
MODULES = sorted(file for package in PACKAGES for file in package.rglob("*.py"))
NOT_PINNED = {"envpool", "zoo"}  # extras for other people's environments; make and CI never install them
MAY_EXECUTE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}  # loading these runs code


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    """Pinned version by canonical name; a line that is not `name==version` fails here."""
    lines = (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert pins[0].startswith("torch==")
    return {canonical(name): version for name, version in (pin.split("==") for pin in pins)}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(text: str) -> Iterator[Requirement]:
    return (Requirement(line) for line in text.splitlines() if line.strip() and not line.startswith("#"))


@pytest.mark.parametrize("name", [package.name for package in PACKAGES])
def test_packages_come_from_this_checkout(name: str) -> None:
    assert Path(str(importlib.import_module(name).__file__)).parent == ROOT / name


def test_importing_the_packages_is_cheap() -> None:
    code = "import sys, agents, envs, experiment; print({'torch', 'stable_baselines3'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_lock_satisfies_every_range(setup_cfg: configparser.ConfigParser, lock: dict[str, str]) -> None:
    extras = (text for extra, text in setup_cfg["options.extras_require"].items() if extra not in NOT_PINNED)
    for text in (setup_cfg["options"]["install_requires"], *extras):
        for wanted in requirements(text):
            assert lock[canonical(wanted.name)] in wanted.specifier, wanted


def test_gymnasium_entry_point_registers_our_ids(setup_cfg: configparser.ConfigParser) -> None:
    from gymnasium.envs.registration import registry

    name, target = setup_cfg["options.entry_points"]["gymnasium.envs"].strip().split(" = ")
    module, function = target.split(":")
    getattr(importlib.import_module(module), function)()
    assert name == "__root__"
    assert "NoisyCartPole-v1" in registry


def test_package_data_covers_every_file(setup_cfg: configparser.ConfigParser) -> None:
    """A wheel holds what the checkout holds: no data file outside the patterns of setup.cfg."""
    data = setup_cfg["options.package_data"]
    for package in PACKAGES:
        patterns = [*data["*"].split(), *data.get(package.name, "").split()]
        files = [file for file in package.rglob("*") if file.is_file() and file.suffix != ".py"]
        files = [file for file in files if file.parent.name != "__pycache__"]
        for file in files:
            assert any(fnmatch(file.relative_to(package).as_posix(), pattern) for pattern in patterns), relative(file)
        assert package / "py.typed" in files


def test_citation_names_the_papers_and_our_version(setup_cfg: configparser.ConfigParser) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    papers = {identifier["value"] for paper in citation["references"] for identifier in paper["identifiers"]}
    assert citation["version"] == setup_cfg["metadata"]["version"]
    assert papers == {f"arXiv:{n}" for n in ("2411.12042", "2601.12604", "2603.00963", "2512.16565", "2505.03155")}


def test_no_path_of_a_machine_in_the_texts() -> None:
    home = re.compile(rf"/(?:home/\w+|Users/\w+|root)/|{re.escape(str(ROOT))}/")
    folders = [*PACKAGES, *(ROOT / name for name in (".ci", "docs", "requirements", "results", "tests"))]
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    for path in paths:
        if path.is_file() and "__pycache__" not in path.parts:
            assert not home.search(readable(path)), relative(path)


def readable(path: Path) -> str:
    """A file's text, empty for a binary one."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8")


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_module_is_documented_and_executes_no_data(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or re.match(r"_(?!_init__)", module.name)
    offences = {offence for node in ast.walk(tree) if (offence := executes_data(node))}
    assert offences == RUNS_WHAT_IT_WROTE.get(relative(module), set())


#: The one module that runs source which the program itself has just generated, never what it reads from a file.
RUNS_WHAT_IT_WROTE = {"agents/training/engine/lowering/modules.py": {"exec"}}


def executes_data(node: ast.AST) -> str:
    """Name the construct if data may run code through it: pickle and its kin, eval, YAML tags, pickled tensors."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        return " ".join(name for name in names if name.partition(".")[0] in MAY_EXECUTE)
    if isinstance(node, ast.Name | ast.Attribute):
        name = ast.unparse(node)
        forbidden = re.fullmatch(
            r"(eval|exec|.*\bunsafe_load(_all)?|.*\b(Unsafe|Full)Loader|.*\bfull_load(_all)?)", name
        )
        return name if forbidden else ""
    if isinstance(node, ast.Call):
        name, keywords = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        unsafe = (
            (name == "torch.load" and keywords.get("weights_only") != "True")
            or (name == "yaml.load" and "Safe" not in ast.unparse(node))
            or (keywords.get("allow_pickle", "False") != "False")
        )
        return name if unsafe else ""
    return ""


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "eval('1')",
        "exec(code)",
        "yaml.load(text, Loader=yaml.UnsafeLoader)",
        "yaml.load(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_the_check_finds_code_execution(source: str) -> None:
    assert any(executes_data(node) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("source", ["policy.eval()", "yaml.safe_load(text)", "torch.load(path, weights_only=True)"])
def test_the_check_lets_safe_calls_pass(source: str) -> None:
    assert not any(executes_data(node) for node in ast.walk(ast.parse(source)))
