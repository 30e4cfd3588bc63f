"""An experiment's three files, NAME.csv, NAME.png and NAME.json: written whole or not at all, the same bytes each time.

The JSON comes last and says from which settings and from which text of the experiment's file all three were made: that
decides whether they are up to date. A change elsewhere, as in `agents/tabular`, does not show: then run with --again.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import registry
from .registry import Outcome, Row

RESULTS = Path(__file__).parents[2] / "results" / "theory"
SUFFIXES = (".csv", ".png", ".json")
DIGITS = 6  # of the numbers in a CSV


def origin(name: str, full: bool) -> dict[str, Any]:
    """What decides an experiment's results: its settings, and the text of its file as a SHA-256."""
    settings = registry.load(name).settings(full)
    code = sha256(registry.source(name).encode()).hexdigest()
    return {"full": full, "settings": json.loads(json.dumps(settings)), "code": code}


def is_current(name: str, full: bool, folder: Path) -> bool:
    """Whether all three files are there and were made by what would be run now."""
    if not all((folder / f"{name}{suffix}").exists() for suffix in SUFFIXES):
        return False
    try:
        recorded = read(name, folder)
    except json.JSONDecodeError:
        return False
    return origin(name, full).items() <= recorded.items()


def read(name: str, folder: Path) -> dict[str, Any]:
    """NAME.json."""
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found


def write(name: str, folder: Path, made_by: dict[str, Any], outcome: Outcome) -> None:
    """Write the three files; `made_by` is the `origin`, found before the run, as the experiment may change meanwhile.

    Raises:
        ValueError: for rows whose columns differ.
    """
    import matplotlib.pyplot as plt

    paper = registry.load(name).paper
    findings = [asdict(finding) | {"paper": finding.paper or paper} for finding in outcome.findings]
    record = {"experiment": name, "subject": registry.subject(name), "findings": findings, **made_by}
    figure = io.BytesIO()
    outcome.figure.savefig(figure, format="png", dpi=110, metadata={"Software": None})
    plt.close(outcome.figure)
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / f"{name}.csv", table(outcome.rows).encode())
    replace(folder / f"{name}.png", figure.getvalue())
    replace(folder / f"{name}.json", (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())


def table(rows: Sequence[Row]) -> str:
    """Rows as CSV, floats with six significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        if list(row) != list(rows[0]):
            raise ValueError(f"columns {list(row)}: must be {list(rows[0])}, those of the first row")
        writer.writerow({column: _number(value) for column, value in row.items()})
    return text.getvalue()


def _number(value: Any) -> Any:
    return f"{float(value):.{DIGITS}g}" if isinstance(value, float) else value


def replace(path: Path, content: bytes) -> None:
    """Write a file by renaming a temporary one over it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
