"""SPMA's step size: fixed etas of the paper's grid against eta="auto". Run: python -m benchmark.eta_ablation

CartPole-v1 with the YAML's settings, several seeds; writes results/ablations/spma_eta.csv (one row per run: the mean
training return of the last 100 episodes at the end, and its area under the curve) and a figure beside it.
"""

from __future__ import annotations

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent.parent / "results" / "ablations"
ETAS = ("0.1", "0.3", "0.5", "1.0", "auto")
COLUMNS = ("eta", "seed", "final_return", "mean_return", "mean_kl", "mean_eta", "negative_target")
SETTINGS: dict[str, Any] = {"n_steps": 128, "batch_size": 256, "n_epochs": 10, "gamma": 0.98, "gae_lambda": 0.8}


def run(eta: str, seed: int, n_timesteps: int) -> tuple[dict[str, Any], list[float]]:
    """Train one agent; its row, and the mean training return after each update."""
    import torch
    from stable_baselines3.common.logger import KVWriter, Logger

    from agents import SPMA
    from envs import make_vec

    torch.set_num_threads(1)
    records: list[dict[str, Any]] = []

    class Memory(KVWriter):
        def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
            records.append(dict(key_values))

        def close(self) -> None:
            """Nothing is open."""

    env = make_vec("CartPole-v1", n_envs=8, seed=seed)
    value: Any = eta if eta == "auto" else float(eta)
    model = SPMA("MlpPolicy", env, learning_rate="lin_1e-3", eta=value, seed=seed, device="cpu", **SETTINGS)
    model.set_logger(Logger(None, [Memory()]))
    model.learn(n_timesteps)
    curve = [r["rollout/ep_rew_mean"] for r in records if "rollout/ep_rew_mean" in r]
    means = {
        column: float(np.mean([r[tag] for r in records if tag in r]))
        for column, tag in (
            ("mean_kl", "train/approx_kl"),
            ("mean_eta", "train/eta"),
            ("negative_target", "train/negative_target"),
        )
    }
    return {"eta": eta, "seed": seed, "final_return": curve[-1], "mean_return": float(np.mean(curve)), **means}, curve


def draw(rows: list[dict[str, Any]], curves: list[list[float]], path: Path) -> None:
    """Mean curve per eta, with the range over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    per_update = SETTINGS["n_steps"] * 8 / 1000
    for eta in dict.fromkeys(row["eta"] for row in rows):
        mine = [curve for row, curve in zip(rows, curves, strict=True) if row["eta"] == eta]
        length = min(map(len, mine))
        stacked = np.array([curve[-length:] for curve in mine])
        steps = per_update * np.arange(1, length + 1)
        (line,) = axes.plot(steps, stacked.mean(0), label=f"eta = {eta}")
        axes.fill_between(steps, stacked.min(0), stacked.max(0), color=line.get_color(), alpha=0.12, lw=0)
    axes.set(xlabel="environment steps [thousands]", ylabel="mean training return", ylim=(0, 510))
    axes.set_title("SPMA on CartPole-v1: mean and range over seeds")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Run the grid and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n-timesteps", type=int, default=80_000)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    cells = list(product(ETAS, range(args.seeds)))
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(run, *zip(*cells, strict=True), [args.n_timesteps] * len(cells)))
    rows, curves = [row for row, _ in results], [curve for _, curve in results]
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / "spma_eta.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    draw(rows, curves, RESULTS / "spma_eta.png")
    print(RESULTS / "spma_eta.csv", RESULTS / "spma_eta.png")


if __name__ == "__main__":
    main()
