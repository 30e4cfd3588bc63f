"""The table of docs/theory.md on the full grids: what they are, what they cost, and whether their verdicts differ."""

from __future__ import annotations

from pathlib import Path

from . import costs, registry, results
from .scale import SCALES

BEGIN, END = "<!-- full grids: written by `python -m benchmark theory table` -->\n", "<!-- end of the full grids -->\n"
HEADER = "| experiment | scale that the paper states | cost of `--full` | verdicts at full scale |\n|---|---|---|---|\n"


def rows(folder: Path) -> str:
    """The table in Markdown: all experiments, from the results in `folder` and `folder`/full."""
    full = folder / "full"
    known, lines = costs.read(full), []
    for name in registry.names():
        cost = f"{known[name]}, {known[name].megabytes} MB" if name in known else "not estimated"
        cells = name, SCALES[name].stated, cost, verdicts(name, folder)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return HEADER + "".join(lines)


def verdicts(name: str, folder: Path) -> str:
    """How the findings of the full grid compare with those of the reduced one."""
    if not (folder / "full" / f"{name}.json").exists():
        return "not run"
    reduced, full = (results.read(name, place)["findings"] for place in (folder, folder / "full"))
    changed = [
        f"{now['claim']}: **{now['verdict']}** (reduced grid: {before['verdict']}): {now['measured']}"
        for before, now in zip(reduced, full, strict=True)
        if before["verdict"] != now["verdict"]
    ]
    made = "run" if results.is_current(name, True, folder / "full") else "run by an earlier text of the experiment"
    link = f"[{made}](../results/theory/full/{name}.png)"
    if changed:
        return f"{link}; {len(full) - len(changed)} of {len(full)} the same; changed: " + "; ".join(changed)
    return f"{link}; all {len(full)} the same" if len(full) > 1 else f"{link}; the same"
