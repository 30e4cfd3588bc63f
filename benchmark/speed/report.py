"""The measurements of training as a figure and as the table of the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .split import PARTS
from .tables import Row
from .tasks import BASELINES, CONTENDERS, TASKS

COLUMNS = (
    "task", "contender", "rounds", "cpu", "cpu_min", "cpu_max", "wall", "baseline", "ratio", "at_least", "aim",
    "peak_mb", *PARTS, "other", "load", "machine",
)  # fmt: skip
MARKS = "<!-- training:begin -->", "<!-- training:end -->"


def replace_rows(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Old rows of what was not measured again, and the new ones; in the order of tasks, then of contenders."""
    measured = {(row["task"], row["contender"]) for row in new}
    rows = [row for row in old if (row["task"], row["contender"]) not in measured] + list(new)
    tasks, names = list(TASKS), list(CONTENDERS)
    return sorted(rows, key=lambda row: (tasks.index(row["task"]), names.index(row["contender"])))


def ratios(rows: Sequence[Row], *, ours: bool) -> dict[str, dict[str, float]]:
    """Ratios by contender and task, of our contenders or of other libraries'; baselines and bare steps have none."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        contender = CONTENDERS[row["contender"]]
        skipped = row["contender"] in BASELINES or contender.library == "steps" or row["ratio"] == ""
        if contender.ours == ours and not skipped:
            found.setdefault(row["contender"], {})[row["task"]] = float(row["ratio"])
    return found


def label(name: str) -> str:
    """The contender's name, and its baseline's where that isn't SB3's PPO."""
    baseline = CONTENDERS[name].baseline
    return name if baseline == "sb3 ppo" else f"{name} (of {baseline})"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Bars of the ratios, a group per task: ours, with what is asked for and aimed at; below, other libraries'."""
    from matplotlib.figure import Figure

    tasks = measured(rows, "cpu")
    if not tasks:
        return
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    _bars(upper, tasks, ratios(rows, ours=True))
    _bars(lower, tasks, ratios(rows, ours=False))
    for i, task in enumerate(tasks):
        upper.hlines([TASKS[task].at_least], i - 0.42, i + 0.42, colors="black", linestyles="dashed", linewidth=1)
        upper.hlines([TASKS[task].aim], i - 0.42, i + 0.42, colors="black", linestyles="dotted", linewidth=1)
    upper.set_xticks(range(len(tasks)), tasks)
    upper.set_title("Training speed on one thread: ours (dashed: asked for, dotted: aimed at)")
    lower.set_title("Other libraries")
    figure.supylabel("times less CPU per step than SB3's PPO")
    figure.savefig(path, dpi=120)


def measured(rows: Sequence[Row], device: str) -> list[str]:
    """The tasks on a device that have rows, in their order."""
    return [name for name, task in TASKS.items() if task.device == device and any(row["task"] == name for row in rows)]


def draw_gpu(rows: Sequence[Row], path: Path) -> None:
    """Steps per second on a GPU, a panel per game."""
    from matplotlib.figure import Figure

    tasks = measured(rows, "cuda")
    if not tasks:
        return
    figure = Figure(figsize=(5.5 * len(tasks), 4.5), layout="constrained")
    for task, axes in zip(tasks, figure.subplots(1, len(tasks), squeeze=False)[0], strict=True):
        own = [row for row in rows if row["task"] == task][::-1]
        speeds = [1e6 / float(row["wall"]) for row in own]
        colors = ["C0" if CONTENDERS[row["contender"]].ours else "grey" for row in own]
        axes.bar_label(axes.barh([row["contender"] for row in own], speeds, color=colors), fmt="%.0f", fontsize=8)
        axes.set_title(f"{TASKS[task].env}\n{own[0]['machine'].partition(',')[0]}", fontsize=9)
        axes.set_xlabel("training steps per second (4 frames each)")
        axes.margins(x=0.15)
    figure.savefig(path, dpi=120)


def _bars(axes: Any, tasks: list[str], found: Mapping[str, Mapping[str, float]]) -> None:
    """Within a task's group only those that took part have a place."""
    for k, (name, by_task) in enumerate(found.items()):
        there = [(i, [other for other in found if task in found[other]]) for i, task in enumerate(tasks)]
        places = [(i, names.index(name), len(names)) for i, names in there if name in names]
        width = 0.8 / max(len(names) for _, names in there)
        x = [i + (j - (n - 1) / 2) * width for i, j, n in places]
        heights = [by_task[tasks[i]] for i, _, _ in places]
        bars = axes.bar(x, heights, width * 0.95, label=label(name), color=f"C{k}")
        axes.bar_label(bars, [f"{h:.1f}" for h in heights], fontsize=7)
    axes.axhline(1, color="grey", linewidth=0.8)
    if found:
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def readme_table(rows: Sequence[Row]) -> str:
    """CPU seconds per million steps of SB3's PPO and ours, and the ratio; other contenders as ratios."""
    lines = ["| task | SB3 PPO | PPO | ratio | our others | other libraries |", "|---|---|---|---|---|---|"]
    for task in measured(rows, "cpu"):
        settings, own = TASKS[task], {row["contender"]: row for row in rows if row["task"] == task}
        if not {"sb3 ppo", "ppo"} <= own.keys():
            continue
        sb3, ppo = own.pop("sb3 ppo"), own.pop("ppo")
        name = f"{settings.env}, {settings.n_envs} x {settings.settings['n_steps']}"
        cells = [f"{float(sb3['cpu']):.0f}", f"{float(ppo['cpu']):.4g}", f"{float(ppo['ratio']):.1f}x"]
        for ours in (True, False):
            found = ratios(list(own.values()), ours=ours)
            cells.append("; ".join(f"{label(other)} {by_task[task]:.1f}x" for other, by_task in found.items()))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def update_readme(rows: Sequence[Row], path: Path = Path("README.md")) -> None:
    """Put the table between its marks."""
    begin, end = MARKS
    head, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, mark, tail = rest.partition(end)
    if mark:
        path.write_text(f"{head}{begin}\n{readme_table(rows)}\n{end}{tail}", encoding="utf-8")
