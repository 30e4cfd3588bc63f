"""Bandits from samples: one pull per update, importance-weighted, for policy gradient, SPMA and natural policy "
"gradient."""

from __future__ import annotations

import numpy as np

from agents.tabular import TabularPolicy
from agents.tabular.checks import Array
from agents.tabular.sampling import sample_rows

SOFTMAX = TabularPolicy()
FLOOR = 1e-3  # of 1 + eta A, where a sampled reward puts it below: rewards outside [0, 1 / eta)


def rewards_of(means: Array, arms: np.ndarray, noise: float | str, rng: np.random.Generator) -> Array:
    """Rewards of arms [...]: "bernoulli", or means + noise N(0, 1)."""
    if noise == "bernoulli":
        return (rng.random(arms.shape) < means[arms]).astype(np.float64)
    return means[arms] + float(noise) * rng.standard_normal(arms.shape)


def sampled_update(
    rule: str, means: Array, theta: Array, eta: float, rng: np.random.Generator, noise: float | str, batch: int = 1
) -> Array:
    """One update of logits theta [R, K] from `batch` pulls of each run, each worth R_t.

    With r_hat(a) = 1[a = a_t] R_t / pi(a), A_hat = r_hat - <pi, r_hat> = (1[a = a_t] / pi(a) - 1) R_t, averaged:
    SPG theta + eta pi A_hat, NPG theta + eta A_hat, SPMA theta + log max(1 + eta A_hat, 1e-3).
    """
    probs = SOFTMAX.probs(theta)
    advantages = np.zeros_like(probs)
    rows = np.arange(len(probs))
    for _ in range(batch):
        arms = sample_rows(probs, rng)
        rewards = rewards_of(means, arms, noise, rng) / batch
        advantages -= rewards[:, None]
        advantages[rows, arms] += rewards / probs[rows, arms]
    if rule == "SPG":
        return theta + eta * probs * advantages
    return theta + (eta * advantages if rule == "NPG" else np.log(np.maximum(1.0 + eta * advantages, FLOOR)))
