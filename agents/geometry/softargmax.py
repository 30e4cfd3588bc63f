"""The f-softargmax, log π with π = argmax_p <p, x> - λ D_f(p || q), and its conjugate: exact solution, exact gradients.

Literal mathematics: no value is checked here, so that the operator compiles to one graph. A -inf logit gets no
probability but keeps its share of the reference; a reference entry of 0 gets no probability either.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from .acceleration import kernels_for, run
from .generator import Divergence
from .solvers import LOG2_E, solve

BLOCK = 1 << 16  # elements per block of rows
ROW_WISE = 64  # actions from which torch is fast along rows


def f_log_softargmax(
    logits: Tensor, divergence: Divergence, temperature: float = 1.0, reference: Tensor | None = None
) -> Tensor:
    """log π [..., A] of logits [..., A]; reference [A] or [..., A], None is uniform. -inf off a sparse support.

    Differentiable twice in the logits; the reference is a constant. Computed in float32 for half precision, and in
    float64 with a reference and for all but the Tsallis generators with alpha <= 1: near the edge of a sparse support,
    and where the best action is one that the reference all but excludes, a probability is what the others leave of 1.
    """
    if reference is not None:
        reference = reference.detach().to(device=logits.device)
    alpha = (divergence.tsallis_form or (math.inf,))[0]
    exact = logits.dtype == torch.float64 or reference is not None or alpha > 1.0
    working = torch.float64 if exact else torch.float32
    if logits.dtype != working:
        return f_log_softargmax(logits.to(working), divergence, temperature, reference).to(logits.dtype)
    log_q = None if reference is None else reference.double().log()
    if alpha == 1.0:
        scores = logits
        if temperature != 1.0 or log_q is not None:  # which would round what the largest scores have in common
            scores = (logits - logits.detach().amax(-1, keepdim=True)) / temperature
        log_probs = torch.log_softmax(scores if log_q is None else scores + log_q, dim=-1)
        # Twice changes nothing but the gradient: once loses its digits where one action has nearly all probability.
        return torch.log_softmax(log_probs, dim=-1) if exact else log_probs
    if log_q is not None and log_q.dim() > 1:
        log_q = log_q.expand(logits.shape)
    return _LogSoftargmax.apply(logits, log_q, divergence, temperature)


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
    def forward(ctx, logits: Tensor, log_q: Tensor | None, divergence: Divergence, temperature: float) -> Tensor:
        form = divergence.tsallis_form
        kernels = kernels_for(logits, log_q, form)
        if kernels is None or form is None:
            log_probs = _forward(logits, log_q, divergence, temperature)
        else:
            log_probs = run(kernels.log_softargmax_rows, form[0], form[1] * temperature, logits)
        ctx.save_for_backward(log_probs, log_q)
        ctx.divergence, ctx.temperature, ctx.kernels = divergence, temperature, kernels
        return log_probs

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        log_probs, log_q = ctx.saved_tensors
        form = ctx.divergence.tsallis_form
        if form is None or form[0] >= 1.0 or torch.is_grad_enabled() or torch.compiler.is_compiling():
            pulled = _vjp(log_probs, grad, log_q, ctx.divergence, ctx.temperature)
        elif ctx.kernels is None:
            pulled = _dense_vjp(log_probs, grad, log_q, form[0], form[1] * ctx.temperature)
        else:
            pulled = run(ctx.kernels.log_softargmax_vjp_rows, form[0], form[1] * ctx.temperature, log_probs, grad)
        return pulled, None, None, None


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


def _forward(logits: Tensor, log_q: Tensor | None, divergence: Divergence, temperature: float) -> Tensor:
    count = logits.shape[-1]
    rows = logits.reshape(-1, count)
    if log_q is None:
        q = torch.full((), -math.log(count), dtype=logits.dtype, device=logits.device)
    else:
        q = log_q.reshape(-1, count)
        rows = rows.masked_fill(q == -math.inf, -math.inf)
    if torch.compiler.is_compiling():
        return solve(rows.amax(1, keepdim=True) - rows, divergence, temperature, q, dim=1).reshape(logits.shape)
    out = torch.empty_like(rows, memory_format=torch.contiguous_format)
    with torch.inference_mode():  # its calls are cheaper than those of no_grad
        for block in _blocks(rows):
            _solve_rows(rows[block], q[block] if q.dim() and len(q) > 1 else q, divergence, temperature, out[block])
    return out.reshape(logits.shape)


def _blocks(rows: Tensor) -> list[slice]:
    """Row ranges whose working set stays in cache; on other devices than the CPU, all rows at once."""
    size = max(1, BLOCK // rows.shape[1] if rows.device.type == "cpu" else len(rows))
    return [slice(start, start + size) for start in range(0, len(rows), size)]


def _solve_rows(rows: Tensor, log_q: Tensor, divergence: Divergence, temperature: float, out: Tensor) -> None:
    """log π of rows [B, A] into `out`; few actions in actions-first layout, where torch vectorises over the rows."""
    if rows.shape[1] >= ROW_WISE or rows.device.type != "cpu":
        out.copy_(solve(rows.amax(1, keepdim=True) - rows, divergence, temperature, log_q, dim=1))
        return
    columns = _transposed(rows, torch.empty_like(out).view(out.shape[::-1]))
    log_q = log_q.t() if log_q.dim() else log_q
    _transposed(solve(columns.amax(0) - columns, divergence, temperature, log_q, dim=0), out)


def _transposed(matrix: Tensor, out: Tensor) -> Tensor:
    """The transpose written to `out`; torch's strided copy is slow where one side is short, a gather is not."""
    if min(matrix.shape) > 8:
        return out.copy_(matrix.t())
    index = _transposition(*matrix.shape)
    torch.index_select(matrix.reshape(-1), 0, index, out=out.view(-1))
    return out


@lru_cache(maxsize=16)
def _transposition(rows: int, columns: int) -> Tensor:
    """Where each element of the transpose lies in a contiguous matrix."""
    return torch.arange(rows * columns).view(rows, columns).t().reshape(-1)


def _vjp(log_probs: Tensor, grad: Tensor, log_q: Tensor | None, divergence: Divergence, temperature: float) -> Tensor:
    """The vector-Jacobian product of log π, itself differentiable."""
    on_support = log_probs > -math.inf
    base = -math.log(log_probs.shape[-1]) if log_q is None else log_q
    log_u = torch.where(on_support, log_probs - base, 0.0)
    r = torch.where(on_support, divergence.sensitivity(log_u), 0.0)
    w = log_probs.exp() * r
    share = w / w.sum(-1, keepdim=True)
    pulled = torch.where(on_support, grad, 0.0) * r
    pulled = pulled - share * pulled.sum(-1, keepdim=True)
    pulled = pulled - share * pulled.sum(-1, keepdim=True)  # again: the entry that dominates w has lost its digits
    return pulled / temperature


def _dense_vjp(log_probs: Tensor, grad: Tensor, log_q: Tensor | None, alpha: float, scale: float) -> Tensor:
    """`_vjp` for Tsallis with alpha < 1, r = u^(1 - alpha) / scale, in place and without a select."""
    count = log_probs.shape[-1]
    rows, grad = log_probs.reshape(-1, count), grad.reshape(-1, count)
    power, log2_scale = (1.0 - alpha) * LOG2_E, math.log2(scale)
    out = torch.empty_like(rows)
    with torch.inference_mode():
        for block in _blocks(rows):
            log_p, pulled = rows[block], out[block]
            if log_q is None:
                offset = rows.new_full((), (1.0 - alpha) * math.log2(count) - log2_scale)
            else:
                q = log_q.reshape(-1, count)
                q = q[block] if len(q) > 1 else q
                offset = torch.where(q > -math.inf, -power * q, 0.0).sub_(log2_scale)  # no reference, no probability
            log2_r = torch.add(offset, log_p, alpha=power)
            w = torch.add(log2_r, log_p, alpha=LOG2_E).exp2_()
            torch.mul(grad[block], log2_r.exp2_(), out=pulled)
            total = _row_sum(w)
            pulled.addcmul_(w, (_row_sum(pulled) / total).unsqueeze(-1), value=-1.0)
            if rows.dtype == torch.float64:  # as in `_vjp`
                pulled.addcmul_(w, (_row_sum(pulled) / total).unsqueeze(-1), value=-1.0)
    return out.reshape(log_probs.shape)


def _row_sum(rows: Tensor) -> Tensor:
    """Σ over the last dimension; torch's reduction of short rows is not vectorised, its matrix-vector product is."""
    row_wise = rows.shape[1] >= ROW_WISE or rows.device.type != "cpu"
    return rows.sum(-1) if row_wise else rows.mv(rows.new_ones(rows.shape[1]))
