"""The f-softargmax, log π with π = argmax_p <p, x> - λ D_f(p || q), and its conjugate: exact solution, exact gradients.

Literal mathematics: no value is checked here, so that the operator compiles to one graph. A -inf logit gets no
probability but keeps its share of the reference; a reference entry of 0 gets no probability either.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .divergences import Divergence
from .solvers import log_ratio


def f_log_softargmax(
    logits: Tensor, divergence: Divergence, temperature: float = 1.0, reference: Tensor | None = None
) -> Tensor:
    """log π [..., A] of logits [..., A]; reference [A] or [..., A], None is uniform. -inf off a sparse support.

    Differentiable twice in the logits; the reference is a constant. Half precision is computed in float32.
    """
    if reference is not None:
        reference = reference.detach().to(device=logits.device)
    if logits.dtype in (torch.bfloat16, torch.float16):
        return f_log_softargmax(logits.float(), divergence, temperature, reference).to(logits.dtype)
    if reference is not None:
        reference = reference.to(logits.dtype)
    if divergence.tsallis_form == (1.0, 1.0):
        scores = logits if temperature == 1.0 else logits / temperature
        return torch.log_softmax(scores if reference is None else scores + reference.log(), dim=-1)
    return _LogSoftargmax.apply(logits, reference, divergence, temperature)


def f_softargmax(
    logits: Tensor, divergence: Divergence, temperature: float = 1.0, reference: Tensor | None = None
) -> Tensor:
    """π [..., A]: the exponential of `f_log_softargmax`, with exact zeros for the sparse generators."""
    return f_log_softargmax(logits, divergence, temperature, reference).exp()


def f_conjugate(
    logits: Tensor, divergence: Divergence, temperature: float = 1.0, reference: Tensor | None = None
) -> Tensor:
    """max_p <p, x> - λ D_f(p || q), [..., A] -> [...]; its gradient is the f-softargmax."""
    probs = f_softargmax(logits, divergence, temperature, reference)
    return _Conjugate.apply(logits, probs, reference, divergence, temperature)


class _LogSoftargmax(torch.autograd.Function):
    """d log π_a / d x_b = r_a (δ_ab - w_b / Σ w) / λ with r = 1 / (u f''(u)), w = π r.

    Only the output is saved, and r and w are functions of it: that makes the double backward right as well.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, reference: Tensor | None, divergence: Divergence, temperature: float) -> Tensor:
        log_probs = _solve(logits, reference, divergence, temperature)
        ctx.save_for_backward(log_probs, reference)
        ctx.divergence, ctx.temperature = divergence, temperature
        return log_probs

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        log_probs, reference = ctx.saved_tensors
        log_q = -math.log(log_probs.shape[-1]) if reference is None else reference.log()
        on_support = log_probs > -math.inf
        log_u = torch.where(on_support, log_probs - log_q, 0.0)
        r = torch.where(on_support, ctx.divergence.sensitivity(log_u), 0.0)
        w = log_probs.exp() * r
        w_share = w / w.sum(-1, keepdim=True)
        pulled = torch.where(on_support, grad, 0.0) * r
        pulled = pulled - w_share * pulled.sum(-1, keepdim=True)
        pulled = pulled - w_share * pulled.sum(-1, keepdim=True)  # again: the entry that dominates w lost its digits
        return pulled / ctx.temperature, None, None, None


class _Conjugate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, logits: Tensor, probs: Tensor, reference: Tensor | None, divergence: Divergence, temperature: float
    ) -> Tensor:
        ctx.save_for_backward(probs)
        best = logits.amax(-1, keepdim=True)
        below = torch.where(probs > 0, probs * (logits - best), 0.0).sum(-1)
        return best.squeeze(-1) + below - temperature * divergence.divergence(probs, reference)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        (probs,) = ctx.saved_tensors
        return grad.unsqueeze(-1) * probs, None, None, None, None


def _solve(logits: Tensor, reference: Tensor | None, divergence: Divergence, temperature: float) -> Tensor:
    """Rows of logits through the solver; few actions in actions-first layout, where torch vectorises over the rows."""
    count = logits.shape[-1]
    rows = logits.reshape(-1, count)
    if reference is not None:
        reference = reference.expand(logits.shape).reshape(-1, count) if reference.dim() > 1 else reference[None]
        rows = rows.masked_fill(reference == 0, -math.inf)
    actions_first = count < 64 and rows.device.type == "cpu"
    work, q, dim = (rows, reference, 1) if not actions_first else (rows.t(), None if reference is None else reference.t(), 0)
    gap = (work.amax(dim, keepdim=True) - work.contiguous()).div_(temperature)
    log_u = log_ratio(gap, divergence, q, dim)
    log_probs = log_u.sub_(math.log(count)) if q is None else log_u.add_(q.log())
    return (log_probs.t() if actions_first else log_probs).reshape(logits.shape).contiguous()
