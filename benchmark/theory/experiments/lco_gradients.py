"""LCO's gradients: the bounds of Prop. 4.7, the contraction of Prop. 4.8, and gradient norms along a descent.

Losses are means over the n actions (mse, log_cosh); KL(pi* || pi) has no such factor. With J = dz/dtheta, sigma its
largest singular value and L the loss: |grad| <= 2 sigma sqrt(L / n), sigma sqrt((1 - e^{-2 L}) / n), sigma sqrt(2 L).
For linear logits gradient descent on n L / 2 has the residual z - z* = -(I - eta J J^T)^k A / beta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.tabular import TabularPolicy, lco_gradient
from agents.tabular.checks import Array
from agents.tabular.logits_convex import MATCHES

from ..fits import slope
from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = TabularPolicy()
LOSSES = ("PPO, no clip", *MATCHES)


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Largest ratios to the bounds, fitted contractions, and how often a gradient grows along a descent."""
    rng = np.random.default_rng(settings["seed"])
    rows: list[dict[str, Any]] = []
    norms: dict[str, Array] = {}
    for part in track(("bounds", "contraction", "descent")):
        if part == "bounds":
            rows += [row for n in settings["n_actions"] for row in _bounds(n, rng, settings["samples"])]
        elif part == "contraction":
            rows += [
                _contraction(n, n_parameters, rng, settings)
                for n, n_parameters in settings["jacobians"]
                for _ in range(settings["repeats"])
            ]
        else:
            norms = _descents(rng, settings)
            rows += [_row("descent", name, 0, grows=float(_grows(lines).mean())) for name, lines in norms.items()]
    return Outcome(rows, _findings(rows, settings), _draw(rows, norms))


def _row(part: str, loss: str, n: int, **values: float) -> dict[str, Any]:
    names = ("ratio", "ratio_sharper", "n_parameters", "fitted", "theory", "grows")
    return {"part": part, "loss": loss, "n_actions": n, **{name: values.get(name, np.nan) for name in names}}


def _losses(z: Array, target: Array) -> dict[str, Array]:
    """The three losses [N] at logits z [N, n] for targets z*."""
    x = np.abs(z - target)
    log_pi, log_goal = SOFTMAX.log_probs(z), SOFTMAX.log_probs(target)
    return {
        "kld": (np.exp(log_goal) * (log_goal - log_pi)).sum(-1),
        "mse": np.square(x).mean(-1),
        "log_cosh": (x + np.log1p(np.exp(-2.0 * x)) - np.log(2.0)).mean(-1),
    }


def _bounds(n: int, rng: np.random.Generator, samples: int) -> list[dict[str, Any]]:
    """Largest |J^T g| over its bound: J the identity (how tight it is) for the first half, random for the second."""
    z = 2.0 * rng.standard_normal((samples, n))
    shift = rng.standard_normal(z.shape) * 10.0 ** rng.uniform(-3.0, 1.5, (samples, 1))
    jacobians = np.concatenate(
        [np.broadcast_to(np.eye(n), (samples // 2, n, n)), rng.standard_normal((samples - samples // 2, n, n))]
    )
    sigma = np.linalg.svd(jacobians, compute_uv=False)[:, 0]
    losses, old = _losses(z, z + shift), SOFTMAX.probs(z)
    bounds = {
        "kld": np.sqrt(2.0 * losses["kld"]),
        "mse": 2.0 * np.sqrt(losses["mse"] / n),
        "log_cosh": np.sqrt(-np.expm1(-2.0 * losses["log_cosh"]) / n),
    }
    rows = []
    for match in MATCHES:
        g = lco_gradient(SOFTMAX, z, z, old, shift, match, "dense")
        norm = np.linalg.norm((g[:, None] @ jacobians)[:, 0], axis=-1)
        counts = losses[match] > 1e-10  # the loss itself is rounding below
        ratio = float((norm / (sigma * bounds[match]))[counts].max())
        sharper = ratio * np.sqrt(2.0) if match == "kld" else np.nan
        rows.append(_row("bounds", match, n, ratio=ratio, ratio_sharper=float(sharper)))
    return rows


def _contraction(n: int, n_parameters: int, rng: np.random.Generator, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Gradient descent on n mse / 2 with linear logits J theta, against rho^{2k} times the first loss.

    ratio: the largest of loss to bound for a random A; fitted: d log(loss) / dk for A in the slowest direction.
    """
    J = rng.standard_normal((n, n_parameters))
    eigenvalues, directions = np.linalg.eigh(J @ J.T)
    eta = 1.0 / eigenvalues[-1]
    radius = float(np.abs(1.0 - eta * eigenvalues).max())
    z_old = J @ rng.standard_normal(n_parameters)
    old = SOFTMAX.probs(z_old[None])
    results = []
    for shift in (rng.standard_normal(n), directions[:, 0]):
        theta = np.zeros(n_parameters)
        losses: list[float] = []
        while len(losses) < settings["steps"] and (not losses or losses[-1] > 1e-20 * losses[0]):
            z = (z_old + J @ theta)[None]
            g = n / 2.0 * lco_gradient(SOFTMAX, z, z_old[None], old, shift[None], "mse", "dense")[0]  # z - z*
            losses.append(0.5 * float(g @ g))
            theta -= eta * (g @ J)
        results.append(np.array(losses))
    bound = radius ** (2.0 * np.arange(len(results[0]))) * results[0][0]
    fitted = slope(np.arange(len(results[1])), np.log(results[1]))
    ratio = float((results[0] / bound).max())
    return _row(
        "contraction", "mse", n, n_parameters=n_parameters, ratio=ratio, fitted=fitted, theory=2.0 * np.log(radius)
    )


def _descents(rng: np.random.Generator, settings: Mapping[str, Any]) -> dict[str, Array]:
    """|grad| [N, steps] along descents from the old logits, one sampled action with advantage -1 or 1 at a time.

    The steps are at most 1 / curvature for every loss, scaled so that the first gradient moves all alike.
    """
    n, n_steps = settings["descent_actions"], settings["descent_steps"]
    z_old = 2.0 * rng.standard_normal((settings["descents"], n))
    old = SOFTMAX.probs(z_old)
    taken = np.eye(n)[(old.cumsum(-1) > rng.random((len(old), 1))).argmax(-1)]
    advantage = rng.choice([-1.0, 1.0], (len(old), 1))
    advantage[0], z_old[0], taken[0] = -1.0, [2.0, 0.0, -1.0, -1.0], [1.0, 0.0, 0.0, 0.0]
    old = SOFTMAX.probs(z_old)
    norms = {}
    for loss in LOSSES:
        z, lines = z_old, []
        for _ in range(n_steps):
            if loss.startswith("PPO"):
                probs = SOFTMAX.probs(z)
                ratio = (probs * taken).sum(-1, keepdims=True) / (old * taken).sum(-1, keepdims=True)
                g = -advantage * ratio * (taken - probs)
            else:
                g = lco_gradient(SOFTMAX, z, z_old, old, advantage * taken, loss, "dense")
            lines.append(np.linalg.norm(g, axis=-1))
            z = z - settings["descent_step"] * g
        norms[loss] = np.array(lines).T
    return norms


def _grows(lines: Array) -> Array:
    """Whether a line [N, T] ever exceeds its start by 1 % [N]."""
    return lines.max(-1) > 1.01 * lines[:, 0]


def _findings(rows: list[dict[str, Any]], settings: Mapping[str, Any]) -> list[Finding]:
    bounds = [row for row in rows if row["part"] == "bounds"]
    largest = {match: max(row["ratio"] for row in bounds if row["loss"] == match) for match in MATCHES}
    sharper = max(row["ratio_sharper"] for row in bounds if row["loss"] == "kld")
    wide = [row for row in rows if row["part"] == "contraction" and row["n_parameters"] >= row["n_actions"]]
    narrow = [row for row in rows if row["part"] == "contraction" and row["n_parameters"] < row["n_actions"]]
    off = max(abs(row["fitted"] / row["theory"] - 1.0) for row in wide)
    flat = max(abs(row["fitted"]) for row in narrow)
    over = max(row["ratio"] for row in wide)
    full_rank = "holds under at least as many parameters as logits (J J^T of full rank)"
    grows = {row["loss"]: row["grows"] for row in rows if row["part"] == "descent"}
    calm = max(grows[match] for match in MATCHES)
    return [
        Finding(
            "gradient norms: 2 sigma sqrt(L/n) (mse), sigma sqrt((1 - e^(-2L))/n) (log_cosh), sigma sqrt(2L) (KL)",
            HOLDS if max(largest.values()) <= 1.0 + 1e-6 else FAILS,
            f"largest ratio to the bound in {settings['samples'] * len(settings['n_actions'])} cases: "
            + ", ".join(f"{match} {largest[match]:.3f}" for match in MATCHES)
            + f"; KL's can be sharpened to sigma sqrt(L) (largest ratio {sharper:.3f}), as |v|_2 <= |v|_1 / sqrt(2) "
            "if sum v = 0",
            paper="2603.00963, Prop. 4.7",
        ),
        Finding(
            "with linear logits mse falls by rho^2 per step or faster, rho the spectral radius of I - eta J J^T",
            FAILS if off > 0.02 or over > 1.0 + 1e-9 else full_rank if flat < 1e-6 else HOLDS,
            f"{len(wide)} random J of full row rank: largest ratio of the loss to rho^(2k) times the first "
            f"{over:.3f}, slope within "
            f"{100 * off:.2g} % of 2 log(rho) for A in the slowest direction; with fewer parameters than logits (as "
            "in any "
            f"table with shared features) rho = 1 and the loss stays (slopes of {flat:.0e} or less)",
            paper="2603.00963, Prop. 4.8",
        ),
        Finding(
            "LCO's gradient shrinks as the policy approaches its target; PPO's need not",
            HOLDS if calm == 0.0 and grows["PPO, no clip"] > 0.0 else FAILS,
            f"descents on one sample of {settings['descent_actions']} actions whose gradient ever exceeds its first "
            "by 1 %: "
            + ", ".join(f"{name} {100 * share:.0f} %" for name, share in grows.items())
            + f" of {settings['descents']}",
        ),
    ]


def _draw(rows: list[dict[str, Any]], norms: Mapping[str, Array]) -> Any:
    figure, axes = panels(3)
    for match in MATCHES:
        mine = [row for row in rows if row["part"] == "bounds" and row["loss"] == match]
        axes[0].plot([row["n_actions"] for row in mine], [row["ratio"] for row in mine], "o-", ms=4, label=match)
    axes[0].axhline(1.0, color="k", ls="--", label="the bound")
    fitted = [row for row in rows if row["part"] == "contraction"]
    wide = [row for row in fitted if row["n_parameters"] >= row["n_actions"]]
    axes[1].loglog([-row["theory"] for row in wide], [-row["fitted"] for row in wide], "o", label="J of full row rank")
    ends = np.array([min(-row["theory"] for row in wide), max(-row["theory"] for row in wide)])
    axes[1].loglog(ends, ends, "k--", label="theory")
    for name, lines in norms.items():
        axes[2].plot(lines[0] / lines[0, 0], label=name)
    axes[0].set(ylim=(0, 1.1), xlabel="actions n", ylabel="largest gradient norm / bound", title="Prop. 4.7")
    axes[1].set(xlabel="-2 log(rho)", ylabel="fitted -d log(mse) / dk", title="Prop. 4.8, linear logits")
    axes[2].set(xlabel="inner steps", ylabel="gradient norm / first", title="one sample, pi(a) = 0.80, A = -1")
    for one in axes:
        legend(one)
    return figure


EXPERIMENT = Experiment(
    paper="2603.00963, section 4",
    reduced={
        "seed": 0,
        "n_actions": [2, 3, 6, 18],
        "samples": 5000,
        "jacobians": [[4, 4], [4, 8], [6, 12], [6, 24], [4, 2], [6, 3]],
        "repeats": 5,
        "steps": 2000,
        "descents": 2000,
        "descent_actions": 4,
        "descent_steps": 200,
        "descent_step": 0.2,
    },
    full={"samples": 200000, "repeats": 50, "descents": 50000},
    run=run,
)
