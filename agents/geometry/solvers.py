"""Solvers for the threshold μ of the f-softargmax, Σ_a q_a (f')^{-1}(z_a - μ) = 1, as functions of gap = max z - z.

All take `gap` [A, B] or [B, A] with the actions along `dim` and log q broadcastable to it (uniform: one number), and
return log π = log q u with Σ π = 1 to rounding. They overwrite `gap`. Eager code stops when every row has converged;
compiled code, where a data-dependent stop would break the graph, takes a fixed number of steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .generator import Divergence

LOG2_E = math.log2(math.e)


def solve(gap: Tensor, divergence: Divergence, temperature: float, log_q: Tensor, dim: int) -> Tensor:
    """log π of the f-softargmax, by the solver that fits the generator (any but KL)."""
    form = divergence.tsallis_form
    if form is None or form[0] > 2.0:
        return solve_bracketed(gap.div_(temperature), divergence, log_q, dim)
    alpha, weight = form
    gap.mul_(abs(1.0 - alpha) / (weight * temperature))
    return (solve_dense if alpha < 1.0 else solve_sparse)(gap, 1.0 / abs(1.0 - alpha), log_q, dim)


def solve_dense(gap: Tensor, beta: float, log_q: Tensor, dim: int) -> Tensor:
    """Tsallis, alpha < 1: π = q (t + gap)^-β for the gap times 1 - alpha, β = 1 / (1 - alpha).

    Halley's iteration on the power mean g(t) = (Σ q (t + gap)^-β)^(-1/β) = 1, which is increasing, concave and linear
    in both extreme regimes. The last step is applied to log π to third order instead of evaluating anew: what it
    leaves is of the order of its cube, and it normalises the policy, too. Scalars are 0-d tensors where torch would
    convert them at each call: for small batches the number of calls is the price.
    """
    compiling = torch.compiler.is_compiling()
    near_softmax = beta > 4.0  # t nears 1, and only s = t - 1 has the digits of the policy
    tolerance = 1.6 * torch.finfo(gap.dtype).eps ** (1 / 3) / math.sqrt(beta)
    one, half, inverse_beta, log2_u = (gap.new_full((), c) for c in (1.0, 0.5, 1.0 / beta, -beta * LOG2_E))
    # Not exp(log q): the rounding of log q would bias t, and much so where the best action holds little.
    weight = log_q.exp() if log_q.dim() else gap.new_full((), 1.0 / gap.shape[dim])
    one_step = gap.shape[dim] == 2 and not log_q.dim() and gap.dtype == torch.float32  # see `_start`
    shift, bound = _start(gap, beta, log_q, weight, dim, near_softmax)
    y, log_y = torch.empty_like(gap), torch.empty_like(gap)
    mass, mass_1, mass_2 = (masses := gap.new_empty((3, *gap.shape))).unbind()
    for step_number in range(12 if compiling else 40):
        torch.add(gap, shift, out=y)
        if near_softmax:
            torch.log1p(y, out=log_y)
            y.add_(one)
        else:
            torch.log(y, out=log_y)
        y.reciprocal_()
        torch.mul(log_y, log2_u, out=mass).exp2_().mul_(weight)
        torch.mul(mass, y, out=mass_1)
        torch.mul(mass_1, y, out=mass_2)
        s0, s1, s2 = masses.sum(dim + 1, keepdim=True).unbind()
        slope = s1 / s0
        excess = s0.log_().mul_(inverse_beta).expm1_()
        bend = torch.add(slope, (slope - s2.div_(s1)).mul_(excess), alpha=0.5 * (beta + 1.0))
        step = excess.div_(torch.maximum(bend, slope.mul_(half)))
        if one_step:
            break
        if step_number and not compiling:  # otherwise the first step is hardly ever the last
            t = shift + one if near_softmax else shift
            if (step / t).abs_().amax().item() <= tolerance:
                break
        shift = torch.maximum(shift + step, bound)
    y.mul_(step)  # log(t + step + gap) = log(t + gap) + log1p(step / (t + gap))
    log_y.add_(y).addcmul_(y, y, value=-0.5).addcmul_(y, y.square(), value=1 / 3)
    log_probs = torch.add(log_q, log_y, alpha=-beta, out=log_y)
    if gap.shape[dim] < 64 and not log_q.dim():
        return log_probs
    total = torch.mul(log_probs, LOG2_E, out=mass).exp2_().sum(dim, keepdim=True)
    return log_probs.sub_(total.log_())  # log q + ... rounds where log q is large


def _start(gap: Tensor, beta: float, log_q: Tensor, weight: Tensor, dim: int, minus_one: bool) -> tuple[Tensor, Tensor]:
    """A first t (or t - 1) and a lower bound of it.

    Bounds: the best action alone has q t^-β <= 1, so t >= a; and by Jensen's inequality t >= 1 - Σ q gap. For a few
    equally weighted actions a + (1 - a) (1 + mean gap / (k (1 - a)))^-k, with the right value and slope at ties and the
    right limit for large gaps, is closer than either; for two, with a fitted k, within 2.5 %.
    """
    count = gap.shape[dim]
    if log_q.dim():
        jensen = (weight * gap.clamp_max(1e30)).sum(dim, keepdim=True).neg_()
        alone = torch.where(gap == 0.0, log_q, -math.inf).amax(dim, keepdim=True).div_(beta)
        alone, jensen = (alone.expm1_(), jensen) if minus_one else (alone.exp_(), jensen.add_(1.0))
        return torch.maximum(alone, jensen), alone
    rest = -math.expm1(-math.log(count) / beta)
    alone = gap.new_full((), -rest if minus_one else 1.0 - rest)
    total = gap.sum(dim, keepdim=True)
    if 1 < count <= 24:
        k = 1.0 if count > 2 else 1.0 / max(1.0 / 30.0, 0.6 / beta - 0.13)
        base = torch.add(gap.new_full((), 1.0), total, alpha=1.0 / (k * rest * count))
        return torch.add(alone, base.reciprocal_() if k == 1.0 else base.pow_(-k), alpha=rest), alone
    return torch.maximum(alone, total.mul_(-1.0 / count).add_(0.0 if minus_one else 1.0)), alone


def solve_sparse(gap: Tensor, p: float, log_q: Tensor, dim: int) -> Tensor:
    """Tsallis, 1 < alpha <= 2: π = q (t - gap)_+^p for the gap times alpha - 1, p = 1 / (alpha - 1) >= 1.

    Newton on the L_p norm (Σ q (t - gap)_+^p)^(1/p) = 1, convex in t: monotone from the right. Kept in s = t - 1.
    """
    compiling = torch.compiler.is_compiling()
    tolerance = 2.0 * torch.finfo(gap.dtype).eps
    s = torch.where(gap == 0.0, log_q, -math.inf).amax(dim, keepdim=True).div_(-p).expm1_()
    for _ in range(24 if compiling else 100):
        log_y = torch.log1p((s - gap).clamp_min_(-1.0))
        mass = torch.add(log_q, log_y, alpha=p).exp_()
        slope = torch.where(mass > 0.0, mass / log_y.exp(), 0.0).sum(dim, keepdim=True)
        total = mass.sum(dim, keepdim=True)
        step = torch.expm1(total.log() / -p) * total / slope
        s = s + step
        if not compiling and bool((step.abs() <= tolerance * (1.0 + s)).all()):
            break
    log_probs = torch.add(log_q, torch.log1p((s - gap).clamp_min_(-1.0)), alpha=p)
    return log_probs.sub_(log_probs.exp().sum(dim, keepdim=True).log_())


def solve_bracketed(gap: Tensor, divergence: Divergence, log_q: Tensor, dim: int) -> Tensor:
    """Any generator: safeguarded Newton on log Σ q u = 0 in v = log u_max, which lies in [0, -log q_best].

    A Newton step that leaves the bracket or shrinks too slowly is replaced by a bisection.
    """
    compiling = torch.compiler.is_compiling()
    high = torch.where(gap == 0.0, log_q, -math.inf).amax(dim, keepdim=True).neg_().clamp_min_(0.0)
    low, v, last = torch.zeros_like(high), high, high
    for _ in range(60 if compiling else 200):
        log_u = divergence.log_ratio_below(v, gap)
        mass = (log_q + log_u).exp()
        total = mass.sum(dim, keepdim=True)
        rate = torch.where(mass > 0.0, mass * divergence.sensitivity(log_u), 0.0).sum(dim, keepdim=True)
        newton = -total * total.log() * divergence.sensitivity(v) / rate
        low, high = torch.where(total < 1.0, v, low), torch.where(total < 1.0, high, v)
        inside = (v + newton >= low) & (v + newton <= high) & (2.0 * newton.abs() <= last)
        step = torch.where(inside, newton, 0.5 * (low + high) - v)
        v, last = v + step, step.abs()
        if not compiling and bool((last <= 1e-15 * (1.0 + v)).all()):
            break
    log_probs = log_q + divergence.log_ratio_below(v, gap)
    return log_probs - log_probs.exp().sum(dim, keepdim=True).log()
