"""The tables of docs/theory.md, each between its markers, from results/theory/*.json and results/theory/full."""

from __future__ import annotations

import sys
from pathlib import Path

from . import full, registry, results

PAGE = Path(__file__).parents[2] / "docs" / "theory.md"
BEGIN, END = "<!-- findings: written by `python -m benchmark theory table` -->\n", "<!-- end of the findings -->\n"
HEADER = "| claim | paper | experiment | measured | verdict |\n|---|---|---|---|---|\n"


def update(folder: Path, check: bool = False, page: Path = PAGE) -> int:
    """Write the tables into the page; with `check` only compare. 1 if it differs or the page has no place for one."""
    text = updated = page.read_text(encoding="utf-8")
    for begin, end, table in ((BEGIN, END, rows(folder)), (full.BEGIN, full.END, full.rows(folder))):
        before, found, rest = updated.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            print(f"{page}: has no lines {begin.strip()} and {end.strip()}", file=sys.stderr)
            return 1
        updated = f"{before}{begin}{table}{end}{after}"
    if updated == text:
        return 0
    if check:
        print(f"{page}: not the tables of {folder}; run: python -m benchmark theory table", file=sys.stderr)
        return 1
    results.replace(page, updated.encode())
    return 0


def rows(folder: Path) -> str:
    """The table in Markdown, experiments in alphabetical order; those without results are left out."""
    lines = []
    for name in registry.names():
        if not (folder / f"{name}.json").exists():
            continue
        link = f"[{name}](../results/theory/{name}.png)"
        for finding in results.read(name, folder)["findings"]:
            cells = finding["claim"], finding["paper"], link, finding["measured"], f"**{finding['verdict']}**"
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return HEADER + "".join(lines)
