"""Logits convexity: Hessians of the three LCO losses, of PPO's, and of the Fenchel-Young losses of other heads.

Over random logits. PPO's active loss -A r has the Hessian -A r [(e_a - pi)(e_a - pi)^T - (diag pi - pi pi^T)]: where it
is positive semi-definite is compared with a rule. Directionality is <grad L, z - z*> >= L(z) - L(z*); for PPO z* is the
point along z_a where the clip sets in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.geometry import divergence_from_name
from agents.tabular import TabularPolicy, lco_gradient
from agents.tabular.checks import Array
from agents.tabular.logits_convex import MATCHES
from agents.tabular.operators import sensitivity, softargmax

from ..plots import legend, panels
from ..registry import FAILS, HOLDS, Experiment, Finding, Outcome, Track

SOFTMAX = TabularPolicy()


def run(settings: Mapping[str, Any], track: Track) -> Outcome:
    """Smallest eigenvalues by number of actions, and how often PPO's loss is convex or points the right way."""
    rng = np.random.default_rng(settings["seed"])
    rows = []
    for n in track(settings["n_actions"]):
        z = settings["scale"] * rng.standard_normal((settings["samples"], n))
        shift = rng.standard_normal(z.shape) * 10.0 ** rng.uniform(-1.0, 1.5, (len(z), 1))
        probs = SOFTMAX.probs(z)
        log_cosh = 1.0 / np.cosh(np.clip(shift, -350.0, 350.0)) ** 2 / n
        smallest = {
            "mse": 2.0 / n,
            "log_cosh": float(log_cosh.min()),
            **{name: _lowest(_weights(z, name)) for name in settings["heads"]},
        }
        ppo = _ppo(z, probs, rng, settings["clip_range"])
        lowest = {f"lowest_{name}": value for name, value in smallest.items()}
        off = _off(z[:50], shift[:50])
        rows.append({"n_actions": n, **lowest, "highest_log_cosh": float(log_cosh.max()), **ppo, "off": off})
    return Outcome(rows, _findings(rows, settings), _draw(rows, settings))


def _weights(z: Array, head: str) -> Array:
    """w [N, n] of a head: d pi / dz = diag w - w w^T / sum w."""
    divergence = divergence_from_name(head)
    return sensitivity(softargmax(z, divergence), divergence)


def _covariance(w: Array) -> Array:
    """diag w - w w^T / sum w [N, n, n]: the Hessian of a head's Fenchel-Young loss, of KL(pi* || pi) for w = pi."""
    return np.apply_along_axis(np.diag, 1, w) - w[:, :, None] * w[:, None, :] / w.sum(-1)[:, None, None]


def _lowest(w: Array) -> float:
    """The smallest eigenvalue of such a Hessian over the largest weight, of which its entries are differences."""
    return float((np.linalg.eigvalsh(_covariance(w))[:, 0] / w.max(-1)).min())


def _off(z: Array, shift: Array) -> float:
    """Largest difference of the analytic Hessians from central differences of `lco_gradient`."""
    n, small = z.shape[-1], 1e-5
    old = SOFTMAX.probs(z)
    analytic = {
        "mse": np.broadcast_to(2.0 / n * np.eye(n), (*z.shape, n)),
        "log_cosh": np.apply_along_axis(np.diag, 1, 1.0 / np.cosh(shift) ** 2 / n),
        "kld": _covariance(SOFTMAX.probs(z)),
    }
    worst = 0.0
    for match in MATCHES:
        for i, direction in enumerate(np.eye(n)):
            ahead, behind = (
                lco_gradient(SOFTMAX, z + sign * small * direction, z, old, shift, match, "dense") for sign in (1, -1)
            )
            worst = max(worst, float(np.abs((ahead - behind) / (2 * small) - analytic[match][..., i]).max()))
    return worst


def _ppo(z: Array, probs: Array, rng: np.random.Generator, clip_range: float) -> dict[str, float]:
    """Shares of random active samples: convex for A > 0 and for A < 0, as the rule says, and violating "
    "directionality."""
    n = z.shape[-1]
    a = rng.integers(n, size=len(z))
    p = probs[np.arange(len(z)), a]
    toward = np.eye(n)[a] - probs
    core = toward[:, :, None] * toward[:, None, :] - _covariance(SOFTMAX.probs(z))
    convex = {}
    for sign in (1.0, -1.0):
        values = np.linalg.eigvalsh(-sign * core)
        convex[sign] = values[:, 0] >= -1e-12 * np.abs(values).max(-1)
    rule = {1.0: p >= 0.5, -1.0: (p <= 0.5) & (n == 2)}
    agree = np.mean([(convex[sign] == rule[sign]) | (np.abs(p - 0.5) < 1e-9) for sign in (1.0, -1.0)])
    return {
        "ppo_convex_positive": float(convex[1.0].mean()),
        "ppo_convex_negative": float(convex[-1.0].mean()),
        "rule_agrees": float(agree),
        **_astray(p, rng, clip_range),
    }


def _astray(p: Array, rng: np.random.Generator, clip_range: float) -> dict[str, float]:
    """Shares of active samples whose gradient violates directionality, for A > 0 and A < 0; p is the old probability.

    The current ratio is drawn from those that leave the sample active, [0.2, 1 + eps) for A > 0, (1 - eps, 5] else.
    """
    shares = {}
    for name, sign, edge, low, high in (
        ("positive", 1.0, 1.0 + clip_range, 0.2, 1.0 + clip_range),
        ("negative", -1.0, 1.0 - clip_range, 1.0 - clip_range, 5.0),
    ):
        now = p * rng.uniform(low, high, p.shape)
        goal = p * edge
        possible = (goal < 1.0) & (now < 1.0) & (now != goal)
        now, goal = now[possible], goal[possible]
        step = np.log(now / (1.0 - now)) - np.log(goal / (1.0 - goal))
        # <grad L, z - z*> and L(z) - L(z*) for L = -A pi(a) / pi_old(a), both times pi_old(a) / |A|
        shares[f"astray_{name}"] = float((-sign * now * (1.0 - now) * step < -sign * (now - goal) - 1e-12).mean())
    return shares


def _findings(rows: list[dict[str, Any]], settings: Mapping[str, Any]) -> list[Finding]:
    total = settings["samples"] * len(rows)
    lowest = {name: min(row[f"lowest_{name}"] for row in rows) for name in ("mse", "log_cosh", *settings["heads"])}
    convex = lowest["mse"] > 0.0 and lowest["log_cosh"] >= 0.0 and lowest["kl"] >= -1e-12
    highest = max(row["highest_log_cosh"] / row["lowest_mse"] for row in rows)
    others = {name: lowest[name] for name in settings["heads"] if name != "kl"}
    more = [row for row in rows if row["n_actions"] > 2]
    share = {sign: np.mean([row[f"ppo_convex_{sign}"] for row in rows]) for sign in ("positive", "negative")}
    never = max(row["ppo_convex_negative"] for row in more)
    agree = min(row["rule_agrees"] for row in rows)
    astray = {sign: np.mean([row[f"astray_{sign}"] for row in rows]) for sign in ("positive", "negative")}
    return [
        Finding(
            "the losses mse, log_cosh and KL(pi* || pi) are convex in the logits",
            HOLDS if convex else FAILS,
            f"{total} random points, {rows[0]['n_actions']} to {rows[-1]['n_actions']} actions: smallest eigenvalue "
            "2/n for mse, "
            f"{lowest['log_cosh']:.0e} for log_cosh, {lowest['kl']:.0e} of the largest weight for KL, whose null "
            "vector is the "
            f"constant one; Hessians within {max(row['off'] for row in rows):.0e} of differences of the gradients",
        ),
        Finding(
            "log_cosh has the stronger convexity",
            HOLDS if any(row["highest_log_cosh"] > row["lowest_mse"] for row in rows) else FAILS,
            f"its curvature sech^2 / n is at most {highest:.2f} of mse's 2 / n over all points; far from the target "
            "it is "
            f"convex in name only ({lowest['log_cosh']:.0e})",
        ),
        Finding(
            "the Fenchel-Young loss of any head is convex in its logits",
            HOLDS if min(others.values()) >= -1e-12 else FAILS,
            "smallest eigenvalue over the largest weight: "
            + ", ".join(f"{name} {value:.0e}" for name, value in others.items()),
            paper="own derivation",
        ),
        Finding(
            "PPO's loss is not convex in the logits",
            HOLDS
            if agree < 1.0
            else "holds under pi(a) < 1/2 for A > 0, more than two actions or pi(a) > 1/2 for A < 0",
            f"the active loss is convex at {100 * share['positive']:.0f} % of the points with A > 0, exactly those "
            "with "
            f"pi(a) >= 1/2, and at {100 * share['negative']:.1f} % of those with A < 0, all with two actions and "
            "pi(a) <= 1/2 "
            f"({100 * never:g} % with more); the rule agrees with the eigenvalues at {100 * agree:.4g} % of "
            f"{2 * total} points",
        ),
        Finding(
            "PPO's gradient does not always point towards its target",
            HOLDS if max(astray.values()) > 0.0 else FAILS,
            f"<grad L, z - z*> >= L(z) - L(z*) along z_a is violated at {100 * astray['positive']:.0f} % of random "
            "active "
            f"points with A > 0, {100 * astray['negative']:.0f} % with A < 0 (clip range {settings['clip_range']:g})",
        ),
    ]


def _draw(rows: list[dict[str, Any]], settings: Mapping[str, Any]) -> Any:
    figure, axes = panels(2)
    n = [row["n_actions"] for row in rows]
    axes[0].plot(n, [row["lowest_mse"] for row in rows], "o-", ms=4, label="mse, everywhere")
    axes[0].plot(n, [0.5 * row["lowest_mse"] for row in rows], "s-", ms=4, label="log_cosh, at the target")
    axes[0].axhline(0.0, color="k", ls="--", label="KL(pi* || pi)")
    for key, label in (
        ("ppo_convex_positive", "A > 0: convex"),
        ("ppo_convex_negative", "A < 0: convex"),
        ("astray_positive", "A > 0: gradient astray"),
        ("astray_negative", "A < 0: gradient astray"),
    ):
        axes[1].plot(n, [100 * row[key] for row in rows], "o--" if "astray" in key else "s-", ms=4, label=label)
    axes[0].set(xlabel="actions n", ylabel="curvature in the flattest direction", ylim=(-0.05, 1.05))
    axes[0].set_title("LCO losses")
    axes[1].set(xlabel="actions n", ylabel="share of random active points [%]", ylim=(-3, 103))
    axes[1].set_title("PPO's loss")
    for one in axes:
        legend(one)
    return figure


EXPERIMENT = Experiment(
    paper="2603.00963, section 4",
    reduced={
        "seed": 0,
        "n_actions": [2, 3, 4, 6, 9, 13, 18],
        "samples": 3000,
        "scale": 2.0,
        "clip_range": 0.2,
        "heads": ["kl", "reverse_kl", "tsallis:0.5", "tsallis:1.5", "js", "chi2", "hellinger"],
    },
    full={"samples": 100000},
    run=run,
)
