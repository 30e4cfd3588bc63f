"""The pictures of docs/heads.md: what each head does to its logits. Run: python -m benchmark.head_figures"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # after the backend is chosen
from matplotlib.axes import Axes
from torch import Tensor

from agents.distributions import DiagonalGaussian, QGaussian
from agents.geometry import Divergence, divergence_from_name, f_softargmax

IMAGES = Path(__file__).parent.parent / "docs" / "images"
FULL = {"kl": "softmax", "tsallis:0.9": None, "tsallis:0.5": None, "tsallis:0.1": None, "reverse_kl": None, "js": None}
SPARSE = {"tsallis:1.5": None, "tsallis:2": None, "chi2": None}
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])


def _two_actions(gaps: Tensor, divergence: Divergence) -> Tensor:
    """The probability of action 1 when its logit is `gaps` above the other's."""
    return f_softargmax(torch.stack([torch.zeros_like(gaps), gaps], dim=-1), divergence)[:, 1]


def _each(axes: Axes, names: dict[str, str | None], draw: Callable[[Divergence], tuple[Tensor, Tensor]]) -> None:
    for i, (name, label) in enumerate(names.items()):
        style, color = "--" if name in SPARSE else "-", "k" if name == "kl" else f"C{i}"
        axes.plot(*draw(divergence_from_name(name)), linestyle=style, label=label or name, color=color)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def policies() -> plt.Figure:
    """Probabilities of two actions against the logit gap."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    gaps = torch.linspace(-6, 6, 601, dtype=torch.float64)
    for axes, names, title in (
        (left, FULL, "full support"),
        (right, {"kl": "softmax"} | SPARSE, "sparse: exact zeros"),
    ):
        _each(axes, names, lambda d: (gaps, _two_actions(gaps, d)))
        axes.set(xlabel="logit gap $z_1 - z_0$", ylabel="$\\pi(1)$", title=title)
    return figure


def tails() -> plt.Figure:
    """How fast the worse action's probability, and the gradient with it, falls with the logit gap."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    gaps = torch.logspace(-1, 2.5, 300, dtype=torch.float64)

    def slope(divergence: Divergence) -> tuple[Tensor, Tensor]:
        inputs = gaps.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(_two_actions(-inputs, divergence).sum(), inputs)
        return gaps, -gradient

    _each(left, FULL, lambda d: (gaps, _two_actions(-gaps, d)))
    _each(right, FULL, slope)
    for axes, label in ((left, "probability of the worse action"), (right, "its derivative by the gap")):
        axes.set(xscale="log", yscale="log", ylim=(1e-12, 1), xlabel="logit gap", ylabel=label)
    left.set_title("softmax and js fall exponentially, the others by a power")
    right.set_title("so does the gradient: flat regions")
    return figure


def gradient_fields() -> plt.Figure:
    """The motion of the policy under the exact policy gradient on a three-armed bandit, r = (0, 0.5, 1)."""
    names = ("kl", "tsallis:0.5", "tsallis:1.5")
    figure, panels = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
    rewards = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    for axes, name in zip(panels, names, strict=True):
        divergence = divergence_from_name(name)
        probs = torch.tensor([p for p in np.ndindex(16, 16, 16) if sum(p) == 15], dtype=torch.float64) / 15
        probs = 0.985 * probs + 0.005
        logits = divergence.f_prime(3 * probs).requires_grad_()
        (gradient,) = torch.autograd.grad((f_softargmax(logits, divergence) * rewards).sum(), logits)
        step = 1e-4
        moved = (f_softargmax(logits.detach() + step * gradient, divergence) - probs) / step
        speed = moved.norm(dim=-1)
        points, arrows = probs.numpy() @ CORNERS, (moved / speed.unsqueeze(-1)).numpy() @ CORNERS
        shown = axes.quiver(*points.T, *arrows.T, np.log10(speed.numpy()), cmap="viridis", clim=(-4, -0.5), scale=26)
        axes.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, "k-", lw=0.8)
        for corner, text in zip(CORNERS, ("r=0", "r=0.5", "r=1"), strict=True):
            axes.annotate(text, corner, ha="center", xytext=(0, 6 if corner[1] else -13), textcoords="offset points")
        axes.set_title("softmax" if name == "kl" else name)
        axes.set(aspect="equal", xticks=[], yticks=[])
        axes.set(xlim=(-0.08, 1.08), ylim=(-0.1, 0.98))
    figure.colorbar(shown, ax=panels, label="log10 speed of the policy", shrink=0.8)
    return figure


def continuous() -> plt.Figure:
    """Densities of the Gaussian and the q-Gaussians at scale 1."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    a = torch.linspace(-8, 8, 1601, dtype=torch.float64).unsqueeze(-1)
    zero = torch.zeros(1, dtype=torch.float64)
    densities = {"gaussian": DiagonalGaussian(zero, zero).log_prob(a)}
    densities |= {
        f"q_gaussian:{alpha:g}": QGaussian(zero, zero, alpha).log_prob(a) for alpha in (0.1, 0.5, 0.9, 1.5, 2.0)
    }
    for name, log_density in densities.items():
        style = "k-" if name == "gaussian" else "-" if float(name.partition(":")[2]) < 1 else "--"
        left.plot(a, log_density.exp(), style, label=name)
        right.plot(a, log_density, style, label=name)
    left.set(xlim=(-4, 4), xlabel="action (location 0, scale 1)", ylabel="density", title="densities")
    right.set(ylim=(-14, 0), xlabel="action", ylabel="log density", title="tails")
    for axes in (left, right):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for draw in (policies, tails, gradient_fields, continuous):
        path = IMAGES / f"heads_{draw.__name__}.png"
        draw().savefig(path, dpi=110, metadata={"Software": None})
        print(path)


if __name__ == "__main__":
    main()
