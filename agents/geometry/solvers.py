"""Solvers for the threshold μ of the f-softargmax, Σ_a q_a (f')^{-1}(z_a - μ) = 1, as functions of gap = max z - z.

All take `gap` [A, B] or [B, A] with the actions along `dim`, `reference` broadcastable to it (None: uniform), and
return log u, u = π/q, with Σ q u = 1 to rounding. They overwrite `gap`. Eager code stops when every row has
converged; compiled code, where a data-dependent stop would break the graph, takes a fixed number of steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .divergences import Divergence

LOG2_E = math.log2(math.e)


def log_ratio(gap: Tensor, divergence: Divergence, reference: Tensor | None, dim: int) -> Tensor:
    """log u of the f-softargmax at temperature 1 by the solver that fits the generator; not for KL."""
    form = divergence.tsallis_form
    if form is None or form[0] > 2.0:
        return bracketed_log_ratio(gap, divergence, reference, dim)
    alpha, weight = form
    if alpha < 1.0:
        return dense_log_ratio(gap.mul_((1.0 - alpha) / weight), 1.0 / (1.0 - alpha), reference, dim)
    return sparse_log_ratio(gap.mul_((alpha - 1.0) / weight), 1.0 / (alpha - 1.0), reference, dim)


def dense_log_ratio(gap: Tensor, beta: float, reference: Tensor | None, dim: int) -> Tensor:
    """Tsallis, alpha < 1: u = (t + gap)^-beta, the gap already times 1 - alpha, beta = 1 / (1 - alpha).

    Halley's iteration on the power mean g(t) = (Σ q (t + gap)^-beta)^(-1/beta) = 1, which is increasing, concave and
    linear in both extreme regimes. The last step is applied to log u to second order instead of evaluating anew:
    that normalises the policy, too. For large beta, t nears 1 and 1 - t is what has the digits.
    """
    return _dense(gap, beta, reference, dim)[0]


def _dense(gap: Tensor, beta: float, reference: Tensor | None, dim: int) -> tuple[Tensor, Tensor]:
    near_softmax = beta > 4.0
    count = gap.shape[dim]
    tolerance = torch.finfo(gap.dtype).eps ** (1 / 3) / beta
    t = _dense_start(gap, beta, reference, dim)
    y, log_y, mass = torch.empty_like(gap), torch.empty_like(gap), torch.empty_like(gap)
    compiling = torch.compiler.is_compiling()
    for _ in range(12 if compiling else 40):
        if near_softmax:
            torch.log1p(torch.add(gap, t - 1.0, out=y), out=log_y)
            y.add_(1.0)
        else:
            torch.log(torch.add(gap, t, out=y), out=log_y)
        torch.mul(log_y, -beta * LOG2_E, out=mass).exp2_()
        if reference is not None:
            mass.mul_(reference)
        inverse = y.reciprocal_()
        s0 = mass.sum(dim, keepdim=True)
        s1 = mass.mul_(inverse).sum(dim, keepdim=True)
        s2 = mass.mul_(inverse).sum(dim, keepdim=True)
        slope = s1 / s0
        total = s0 if reference is not None else s0 / count
        newton = torch.expm1(total.log_().div_(beta)).div_(slope)
        bend = (s2 / s1).sub_(slope).mul_(newton).mul_(-0.5 * (beta + 1.0)).add_(1.0)
        step = newton.div_(bend.clamp_min_(0.5))
        if not compiling and bool((step / t).abs_().amax() <= tolerance):
            break
        t = torch.maximum(t + step, 0.1 * t)
    inverse.mul_(step)
    log_y.add_(inverse).addcmul_(inverse, inverse, value=-0.5)
    return log_y.mul_(-beta), t + step


def _dense_start(gap: Tensor, beta: float, reference: Tensor | None, dim: int) -> Tensor:
    """Lower bounds of t: all mass on the best action, or Jensen's; for many actions the two joined."""
    count = gap.shape[dim]
    if reference is None:
        best, mean = None, gap.mean(dim, keepdim=True)
        alone = torch.full_like(mean, count ** (-1.0 / beta))
    else:
        best = (reference * (gap == 0)).amax(dim, keepdim=True)
        mean = (reference * gap.clamp_max(1e30)).sum(dim, keepdim=True)
        alone = best.pow(1.0 / beta)
    return torch.maximum(alone, 1.0 - mean)


def sparse_log_ratio(gap: Tensor, p: float, reference: Tensor | None, dim: int) -> Tensor:
    """Tsallis, 1 < alpha <= 2: u = (t - gap)_+^p, the gap already times alpha - 1, p = 1 / (alpha - 1) >= 1.

    Newton on the L_p norm (Σ q (t - gap)_+^p)^(1/p) = 1, convex in t: monotone from the right. Kept in s = t - 1.
    """
    count = gap.shape[dim]
    weights = 1.0 / count if reference is None else reference
    best = gap.new_full((), 1.0 / count) if reference is None else (reference * (gap == 0)).amax(dim, keepdim=True)
    s = torch.expm1(best.log() / -p).expand(gap.amax(dim, keepdim=True).shape)
    tolerance = 2.0 * torch.finfo(gap.dtype).eps
    compiling = torch.compiler.is_compiling()
    for _ in range(24 if compiling else 100):
        log_y = torch.log1p((s - gap).clamp_min_(-1.0))
        slope = (weights * ((p - 1.0) * log_y).exp()).where(log_y > -math.inf, 0.0).sum(dim, keepdim=True)
        total = (weights * (p * log_y).exp()).sum(dim, keepdim=True)
        step = torch.expm1(total.log() / -p) * total / slope
        s = s + step
        if not compiling and bool((step.abs() <= tolerance * (1.0 + s)).all()):
            break
    log_u = p * torch.log1p((s - gap).clamp_min_(-1.0))
    return log_u.sub_((weights * log_u.exp()).sum(dim, keepdim=True).log_())


def bracketed_log_ratio(gap: Tensor, divergence: Divergence, reference: Tensor | None, dim: int) -> Tensor:
    """Any generator: safeguarded Newton on log Σ q u = 0 in v = log u_max, which lies in [0, -log q(best)]; float64.

    A Newton step that leaves the bracket or shrinks too slowly is replaced by a bisection.
    """
    dtype, gap = gap.dtype, gap.double()
    q = torch.full((1, 1), 1.0 / gap.shape[dim], dtype=gap.dtype, device=gap.device)
    q = q if reference is None else reference.double()
    low = torch.zeros_like(gap.amax(dim, keepdim=True))
    high = (q * (gap == 0)).amax(dim, keepdim=True).log().neg().clamp_min(0.0)
    v, last = high, high - low
    compiling = torch.compiler.is_compiling()
    for _ in range(60 if compiling else 200):
        log_u = divergence.log_ratio_below(v, gap)
        mass = q * log_u.exp()
        total = mass.sum(dim, keepdim=True)
        rate = torch.where(mass > 0, mass * divergence.sensitivity(log_u), 0.0).sum(dim, keepdim=True)
        newton = -total * total.log() * divergence.sensitivity(v) / rate
        low, high = torch.where(total < 1.0, v, low), torch.where(total < 1.0, high, v)
        inside = (v + newton >= low) & (v + newton <= high) & (2.0 * newton.abs() <= last)
        step = torch.where(inside, newton, 0.5 * (low + high) - v)
        v, last = v + step, step.abs()
        if not compiling and bool((last <= 1e-15 * (1.0 + v)).all()):
            break
    log_u = divergence.log_ratio_below(v, gap)
    return (log_u - (q * log_u.exp()).sum(dim, keepdim=True).log()).to(dtype)
