"""PPO-Clip as the double loop of its convergence proof, with any f-divergence regulariser (arXiv 2512.16565)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..geometry import Divergence, ReverseKL
from .checks import Array
from .gradients import Regularizer, per_run
from .mdp import FiniteMDP
from .policies import SOFTMAX


def ppo_clip(
    mdp: FiniteMDP,
    theta: Array,
    divergence: Divergence,
    coef: ArrayLike,
    step: ArrayLike,
    n_inner: int,
    clip_range: float,
    clip_range_high: float | None = None,
    reference: Array | None = None,
) -> Array:
    """One outer update of softmax(theta): n_inner ascent steps on the clipped surrogate at the frozen policy pi_n,

    L(theta) = 1/(1-gamma) sum_s d_n(s) { sum_a pi_n(a|s) min(r A, clip(r, 1-eps_l, 1+eps_h) A) - coef D_f(pi || q) },
    r = pi / pi_n, with d_n and A of the regularised value of pi_n. clip_range = inf is no clipping, coef = 0 no
    regulariser; with n_inner = 1 the update is the exact policy gradient. (arXiv 2512.16565, Algorithm 1)

    Raises:
        ValueError: for a clip range that is not positive.
    """
    high = clip_range if clip_range_high is None else clip_range_high
    if not (clip_range > 0.0 and high > 0.0):
        raise ValueError(f"clip_range={clip_range!r}, clip_range_high={clip_range_high!r}: must be positive")
    regularizer = Regularizer(divergence, coef, reference) if np.any(coef) else None
    old = SOFTMAX.probs(theta)
    chain = mdp.chain(old)
    _, _, advantages = mdp.values(chain, old, None if regularizer is None else regularizer.penalty(old))
    weights = (mdp.visits(chain) / (1.0 - mdp.gamma))[..., None]
    probs = old
    for _ in range(n_inner):
        ratio = probs / old
        kept = np.where(advantages > 0.0, ratio <= 1.0 + high, ratio >= 1.0 - clip_range)
        ascent = np.where(kept, advantages, 0.0)
        if regularizer is not None:
            ascent = ascent - regularizer.slope(SOFTMAX, theta, probs)
        theta = theta + per_run(step, 2) * SOFTMAX.vjp(theta, probs, weights * ascent)
        probs = SOFTMAX.probs(theta)
    return theta


def ppo_clip_step_bound(
    mdp: FiniteMDP,
    theta: Array,
    coef: float,
    clip_range: float,
    clip_range_high: float | None = None,
    reference: Array | None = None,
) -> float:
    """S_max: the admissible *sum* of one outer update's inner steps from softmax(theta) [S, A], for KL(ref || pi).

    min{ (1-gamma) / (8 C), (1-gamma) log 2 / (4 A_max + 8 coef), 1 / (4 L) } with
    C = sqrt(2) A_max (1/log(1+eps_h) - 1/log(1-eps_l)) + 3 A_max + coef,
    L = 8 (r_max + coef max |log pi|) / (1-gamma)^3, A_max = max |A| of the regularised advantages of pi_n; the middle
    term keeps pi above pi_n / 2 in the inner loop, hence log 2 more in |log pi|. (arXiv 2512.16565, Theorem 1)
    """
    high = clip_range if clip_range_high is None else clip_range_high
    regularizer = Regularizer(ReverseKL(), coef, reference)
    probs = SOFTMAX.probs(theta)
    _, _, advantages = mdp.evaluate(probs, regularizer.penalty(probs))
    largest, rest = float(np.abs(advantages).max()), 1.0 - mdp.gamma
    log_low = math.log1p(-clip_range) if clip_range < 1.0 else -math.inf
    C = math.sqrt(2.0) * largest * (1.0 / math.log1p(high) - 1.0 / log_low) + 3.0 * largest + coef
    smoothness = 8.0 * (np.abs(mdp.r).max() + coef * (np.abs(np.log(probs)).max() + math.log(2.0))) / rest**3
    return min(rest / (8.0 * C), rest * math.log(2.0) / (4.0 * largest + 8.0 * coef), 1.0 / (4.0 * float(smoothness)))
