"""The table of docs/theory.md, between its markers, from the findings in results/theory/*.json."""

from __future__ import annotations

import sys
from pathlib import Path

from . import registry, results

PAGE = Path(__file__).parents[2] / "docs" / "theory.md"
BEGIN, END = "<!-- findings: written by `python -m benchmark theory table` -->\n", "<!-- end of the findings -->\n"
HEADER = "| claim | paper | experiment | measured | verdict |\n|---|---|---|---|---|\n"


def update(folder: Path, check: bool = False, page: Path = PAGE) -> int:
    """Write the table into the page; with `check` only compare. 1 if it differs or the page has no place for it."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        print(f"{page}: has no lines {BEGIN.strip()} and {END.strip()}", file=sys.stderr)
        return 1
    updated = f"{before}{BEGIN}{rows(folder)}{END}{after}"
    if updated == text:
        return 0
    if check:
        print(f"{page}: its table is not that of {folder}; run: python -m benchmark theory table", file=sys.stderr)
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
