"""The measurements as a table on disk, a figure, and the table of the README."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .split import PARTS
from .tasks import TASKS

COLUMNS = (
    "task", "contender", "rounds", "cpu", "cpu_min", "cpu_max", "wall", "ratio", "at_least", "aim", "peak_mb",
    *PARTS, "other", "load",
)  # fmt: skip
MARKS = "<!-- training:begin -->", "<!-- training:end -->"
Row = Mapping[str, Any]


def read(path: Path) -> list[Row]:
    """The rows of a table; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def replace_rows(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Old rows of tasks and contenders that were not measured again, then the new ones; in the order of the tasks."""
    measured = {(row["task"], row["contender"]) for row in new}
    rows = [row for row in old if (row["task"], row["contender"]) not in measured] + list(new)
    order = list(TASKS)
    return sorted(rows, key=lambda row: order.index(row["task"]))


def write(path: Path, rows: Sequence[Row]) -> None:
    """Numbers to four digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def draw(rows: Sequence[Row], path: Path) -> None:
    """Bars of the ratio to SB3, a group per task, with what is asked for and aimed at."""
    from matplotlib.figure import Figure

    tasks = [task for task in TASKS if any(row["task"] == task for row in rows)]
    names = list(dict.fromkeys(row["contender"] for row in rows if row["contender"] not in ("sb3 ppo", "bare steps")))
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(names), 1)
    for k, name in enumerate(names):
        found = {row["task"]: float(row["ratio"]) for row in rows if row["contender"] == name}
        places = [i for i, task in enumerate(tasks) if task in found]
        heights = [found[tasks[i]] for i in places]
        bars = axes.bar([i + (k - (len(names) - 1) / 2) * width for i in places], heights, width * 0.95, label=name)
        axes.bar_label(bars, [f"{h:.1f}" for h in heights], fontsize=7)
    for i, task in enumerate(tasks):
        axes.hlines([TASKS[task].at_least], i - 0.42, i + 0.42, colors="black", linestyles="dashed", linewidth=1)
        axes.hlines([TASKS[task].aim], i - 0.42, i + 0.42, colors="black", linestyles="dotted", linewidth=1)
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_ylabel("times less CPU per step than SB3's PPO")
    axes.set_title("Training speed on one thread (dashed: asked for, dotted: aimed at)")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def readme_table(rows: Sequence[Row]) -> str:
    """CPU seconds per million steps of SB3's PPO and ours, and the ratio; other contenders as ratios."""
    lines = ["| task | SB3 PPO | PPO | ratio | others |", "|---|---|---|---|---|"]
    for task, settings in TASKS.items():
        own = {row["contender"]: row for row in rows if row["task"] == task}
        if not {"sb3 ppo", "ppo"} <= own.keys():
            continue
        others = [f"{name} {float(row['ratio']):.1f}x" for name, row in own.items()
                  if name not in ("sb3 ppo", "ppo", "bare steps")]  # fmt: skip
        sb3, ours = own["sb3 ppo"], own["ppo"]
        label = f"{settings.env}, {settings.n_envs} x {settings.settings['n_steps']}"
        cells = f"{float(sb3['cpu']):.0f}", f"{float(ours['cpu']):.1f}", f"{float(ours['ratio']):.1f}x"
        lines.append(f"| {label} | {' | '.join(cells)} | {'; '.join(others)} |")
    return "\n".join(lines)


def update_readme(rows: Sequence[Row], path: Path = Path("README.md")) -> None:
    """Put the table between its marks."""
    begin, end = MARKS
    head, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, mark, tail = rest.partition(end)
    if mark:
        path.write_text(f"{head}{begin}\n{readme_table(rows)}\n{end}{tail}", encoding="utf-8")
