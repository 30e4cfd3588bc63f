"""What the full grids cost, measured or estimated: FOLDER/costs.json, written by `run --full` and by `estimate`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .results import replace

NAME = "costs.json"
MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Cost:
    """Seconds on one processor and the most memory in MB; `measured` is False for an estimate, memory then a part."""

    seconds: float
    megabytes: int
    measured: bool

    def __str__(self) -> str:
        unit, name = (HOUR, "h") if self.seconds >= 1.5 * HOUR else (MINUTE, "min")
        amount = self.seconds / unit
        told = f"{amount:.0f}" if amount >= 10.0 else f"{amount:.1f}"
        return f"{told} {name}" if self.measured else f"about {told} {name}"


def read(folder: Path) -> dict[str, Cost]:
    """What is known, by experiment."""
    path = folder / NAME
    if not path.exists():
        return {}
    return {name: Cost(**cost) for name, cost in json.loads(path.read_text(encoding="utf-8")).items()}


def record(name: str, folder: Path, cost: Cost) -> None:
    """Add a cost or replace the one that is there, whatever it was."""
    known = read(folder) | {name: cost}
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({name: asdict(known[name]) for name in sorted(known)}, indent=1) + "\n"
    replace(folder / NAME, content.encode())
