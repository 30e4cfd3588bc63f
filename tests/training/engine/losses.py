"""Losses for the tests of gradients: objectives, heads and regularisers in combination."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from agents.geometry import KL, Tsallis
from agents.objectives import LCO, MDPO, SPMA, Objective, PolicyGradient, PPOClip, Regularizer, TrustRegion
from agents.policies.heads import Head, make_head
from agents.training.engine.gradients import EagerGradient, Example, Gradient, ObjectiveGradient, example
from agents.training.engine.lowering.lower import in_double
from agents.training.losses import MinibatchLoss

OBJECTIVES: dict[str, Any] = {
    "ppo": lambda x: PPOClip(x),
    "ppo asymmetric": lambda x: PPOClip(x, x + 0.1),
    "spma": lambda x: SPMA(x),
    "spma sampled": lambda x: SPMA(x, kl="sampled"),
    "spma target": lambda x: SPMA(x, form="target"),
    "mdpo": lambda x: MDPO(x),
    "mdpo sampled": lambda x: MDPO(x, kl="sampled"),
    "trpo": lambda x: TrustRegion(),
    "trpo-r": lambda x: TrustRegion(x),
    "lco": lambda x: LCO(x),
    "lco mse": lambda x: LCO(x, "mse"),
    "lco log_cosh": lambda x: LCO(x, "log_cosh"),
    "lco two betas": lambda x: LCO(x, beta_negative=x + 0.1),
    "reinforce": lambda x: PolicyGradient(),
}
BOX = spaces.Box(-1, 1, (3,))
HEADS: dict[str, tuple[str, spaces.Space]] = {
    "softmax 1": ("softmax", spaces.Discrete(1)),
    "softmax 2": ("softmax", spaces.Discrete(2)),
    "softmax 18": ("softmax", spaces.Discrete(18)),
    "tsallis 1": ("tsallis:0.5", spaces.Discrete(1)),
    "tsallis 2": ("tsallis:0.5", spaces.Discrete(2)),
    "tsallis 18": ("tsallis:0.5", spaces.Discrete(18)),
    "hellinger": ("hellinger", spaces.Discrete(4)),
    "reverse_kl": ("reverse_kl", spaces.Discrete(4)),
    "chi2": ("chi2", spaces.Discrete(4)),
    "softmax equal": ("softmax", spaces.MultiDiscrete([3, 3, 3])),
    "softmax unequal": ("softmax", spaces.MultiDiscrete([2, 3])),
    "tsallis equal": ("tsallis:0.5", spaces.MultiDiscrete([3, 3])),
    "tsallis unequal": ("tsallis:0.5", spaces.MultiDiscrete([2, 5, 3])),
    "softmax bits": ("softmax", spaces.MultiBinary(4)),
    "tsallis bits": ("tsallis:0.5", spaces.MultiBinary(9)),
    "binned": ("binned:5", BOX),
    "binned ordinal": ("binned:5,ordinal", BOX),
    "binned tsallis": ("binned:3/tsallis:0.5", BOX),
    "gaussian 1": ("gaussian", spaces.Box(-1, 1, (1,))),
    "gaussian 6": ("gaussian", spaces.Box(-1, 1, (6,))),
    "q_gaussian": ("q_gaussian:0.5", BOX),
}
PAIRS = [
    (objective, head)
    for objective in OBJECTIVES
    for head in HEADS
    if not (objective in ("lco mse", "lco log_cosh") and "gaussian" in head)
]


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def head_of(name: str) -> Head:
    return make_head(*HEADS[name])


def loss_of(objective: str, head: str, extras: str = "") -> MinibatchLoss:
    """A pair; with `extras` "uniform" or "network" a regulariser in the loss, and a clipped value loss."""
    made: Objective = OBJECTIVES[objective](scalar(0.3))
    regularizer = None
    if extras and not ("gaussian" in head and (extras == "uniform" or "q_gaussian" in head)):
        regularizer = Regularizer(Tsallis(0.5) if extras == "network" else KL(), scalar(0.2), "loss")
    reference = head_of(head) if extras == "network" and regularizer is not None else None
    clip = scalar(0.3) if extras else None
    return MinibatchLoss(head_of(head), made, scalar(0.01), regularizer, reference, clip)


def per_row(gradient: Gradient) -> list[np.ndarray]:
    """Both gradients times the batch size: those of the rows, side by side."""
    return [x.astype(np.float64) * len(gradient.d_values) for x in gradient[:2]]


class Exact:
    """Autograd in float64, and how far from it one may be: 1e-6 of the largest, or twice autograd's own error."""

    def __init__(self, loss: MinibatchLoss, rollout: Example) -> None:
        self.eager = EagerGradient(loss)
        self.allowed = [0.0, 0.0]
        for made_up in (rollout, *(example(loss, 90, 90, seed) for seed in range(3))):
            right, rounded = per_row(self.eager(*in_double(made_up))), per_row(self.eager(*made_up))
            for k, (x, y) in enumerate(zip(right, rounded, strict=True)):
                self.allowed[k] = max(self.allowed[k], 1e-6 * np.abs(x).max(), 2 * np.abs(x - y).max())

    def assert_agrees(self, gradient: ObjectiveGradient, made_up: Example) -> None:
        """Gradients and metrics of a minibatch of the rollout."""
        exact, found = self.eager(*in_double(made_up)), gradient(*made_up)
        for x, y, allowed in zip(per_row(found), per_row(exact), self.allowed, strict=True):
            assert x.shape == y.shape
            assert np.abs(x - y).max() <= allowed
        order = [gradient.metric_names.index(name) for name in self.eager.metric_names]
        np.testing.assert_allclose(found.metrics[order], exact.metrics, rtol=2e-4, atol=2e-5)
