"""What an experiment is, and where to find it: every module of `experiments` holds one, named like the module."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENTS = Path(__file__).parent / "experiments"
HOLDS, FAILS, CONDITION = "holds", "fails as stated", "holds under "

Item = TypeVar("Item")
Row = Mapping[str, Any]  # column -> number or text


class Track(Protocol):
    """`for item in track(items)`: the items, with the bar moving on after each."""

    def __call__(self, items: Sequence[Item]) -> Iterable[Item]: ...


@dataclass(frozen=True)
class Finding:
    """One row of docs/theory.md.

    Args:
        claim: what the paper says, in a line.
        verdict: "holds", "holds under <condition>" or "fails as stated".
        measured: the numbers that the verdict rests on, in words.
        paper: where the claim is made, if not where the experiment says.

    Raises:
        ValueError: for another verdict.
    """

    claim: str
    verdict: str
    measured: str
    paper: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in (HOLDS, FAILS) and not self.verdict.startswith(CONDITION):
            raise ValueError(f"verdict={self.verdict!r}: must be {HOLDS!r}, {FAILS!r} or begin with {CONDITION!r}")


@dataclass(frozen=True)
class Outcome:
    """What an experiment returns: the rows of its table (all with the same columns), its findings, its figure."""

    rows: Sequence[Row]
    findings: Sequence[Finding]
    figure: Figure


@dataclass(frozen=True)
class Experiment:
    """A function of its settings.

    Args:
        paper: whose claims these are.
        reduced: settings, as JSON has them, for a run of a minute or two on one core.
        full: those at the papers' scale, as changes to the reduced ones.
        run: settings -> outcome, the same to the last bit each time: seeds are settings.
    """

    paper: str
    reduced: Mapping[str, Any]
    full: Mapping[str, Any]
    run: Callable[[Mapping[str, Any], Track], Outcome]

    def settings(self, full: bool) -> dict[str, Any]:
        """The settings of a run.

        Raises:
            ValueError: for a full setting that has no reduced one.
        """
        extra = set(self.full) - set(self.reduced)
        if extra:
            raise ValueError(f"full: {', '.join(sorted(extra))}: not a reduced setting")
        return {**self.reduced, **self.full} if full else dict(self.reduced)


def names() -> list[str]:
    """Every experiment's name; nothing is imported."""
    return sorted(path.stem for path in EXPERIMENTS.glob("[!_]*.py"))


def subject(name: str) -> str:
    """The first line of an experiment's docstring; nothing is imported."""
    docstring = ast.get_docstring(ast.parse(source(name))) or ""
    return docstring.partition("\n")[0]


def source(name: str) -> str:
    """The text of an experiment."""
    return (EXPERIMENTS / f"{name}.py").read_text(encoding="utf-8")


def load(name: str) -> Experiment:
    """The experiment of that name."""
    experiment: Experiment = import_module(f".experiments.{name}", __package__).EXPERIMENT
    return experiment
