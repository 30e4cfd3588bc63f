"""The picture of a run: training returns and evaluations against environment steps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np


def draw_learning_curve(folder: Path, title: str) -> Path | None:
    """Write `learning_curve.png` into a run folder; None if no episode has ended yet."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    steps, returns = read_monitors(folder.glob("*.monitor.csv"))
    evaluations = read_evaluations(folder / "evaluations.npz")
    if not len(steps) and evaluations is None:
        return None

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(steps):
        window = max(1, min(100, len(returns) // 10))
        axes.plot(steps, returns, ".", color="C0", alpha=0.4, markersize=4, markeredgewidth=0, rasterized=True)
        axes.plot(
            steps[window - 1 :], moving_mean(returns, window), color="C0", label=f"training, mean of {window} episodes"
        )
    if evaluations is not None:
        at, results = evaluations
        mean, low, high = results.mean(axis=1), results.min(axis=1), results.max(axis=1)
        spread = f"evaluation, mean and range of {results.shape[1]} episodes"
        axes.errorbar(
            at, mean, yerr=(mean - low, high - mean), color="C1", marker="o", markersize=4, capsize=3, label=spread
        )
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return of an episode [reward]")
    axes.set_title(title)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    path = folder / "learning_curve.png"
    figure.savefig(path, dpi=150)
    return path


def read_monitors(files: Iterable[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [K] at which training episodes ended, over all environments together, and their returns [K].

    A torn last line, as a killed run leaves it, is dropped.
    """
    rows: list[tuple[float, float, float]] = []
    for file in files:
        complete = file.read_text().rpartition("\n")[0].splitlines()
        names = complete[1].split(",") if len(complete) > 1 else []
        if names[:3] == ["r", "l", "t"]:
            rows.extend(tuple(float(x) for x in line.split(",")[:3]) for line in complete[2:])  # type: ignore[misc]
    rows.sort(key=lambda row: row[2])
    table = np.array(rows).reshape(-1, 3)
    return np.cumsum(table[:, 1]), table[:, 0]


def read_evaluations(file: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps [E] and returns [E, K] of EvalCallback's evaluations; None if there are none."""
    if not file.is_file():
        return None
    with np.load(file) as data:
        return data["timesteps"], data["results"]


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Means of `window` successive values, [K - window + 1]."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    return (sums[window:] - sums[:-window]) / window
