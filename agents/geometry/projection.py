"""The projection that keeps f-PG away from the boundary, and the inverse of the f-softargmax (arXiv 2601.12604)."""

from __future__ import annotations

import torch
from torch import Tensor

from .generator import Divergence
from .softargmax import f_softargmax


def dual_variables(
    probs: Tensor, divergence: Divergence, temperature: float = 1.0, reference: Tensor | None = None
) -> Tensor:
    """M^f(π) = λ f'(π / q): logits [..., A] whose f-softargmax is π [..., A], unique up to a constant per state.

    Where π is zero the logits are λ f'(0): -inf for a generator of full support, the edge of the support otherwise.
    """
    u = probs * probs.shape[-1] if reference is None else probs / reference.to(probs)
    return temperature * divergence.f_prime(u)


def project_policy(probs: Tensor, tau: float, reference: Tensor | None = None) -> Tensor:
    """U_τ: raise every π(a) < τ q(a) to τ q(a), and take the added mass from the action of the largest π / q.

    [..., A] -> [..., A], for 0 <= τ <= 1/2. Raises ValueError for other τ, and where that action can't give the mass.
    """
    if not 0.0 <= tau <= 0.5:
        raise ValueError(f"tau={tau!r}: must lie in [0, 1/2]")
    q = torch.full_like(probs, 1.0 / probs.shape[-1]) if reference is None else reference.to(probs).expand_as(probs)
    raised = torch.maximum(probs, tau * q)
    best = (probs / q).argmax(-1, keepdim=True)
    projected = raised.scatter_add(-1, best, (probs - raised).sum(-1, keepdim=True))
    if not torch.compiler.is_compiling() and (projected.gather(-1, best) < tau * q.gather(-1, best)).any():
        raise ValueError(f"tau={tau!r}: too large, the best action has less mass than the others lack")
    return projected


def project_logits(
    logits: Tensor, tau: float, divergence: Divergence, temperature: float = 1.0, reference: Tensor | None = None
) -> Tensor:
    """T_τ(θ) = M^f(U_τ(π_θ)), [..., A] -> [..., A]; logits whose policy needs no projection come back as they are."""
    probs = f_softargmax(logits, divergence, temperature, reference)
    projected = project_policy(probs, tau, reference)
    unchanged = (projected == probs).all(-1, keepdim=True)
    return torch.where(unchanged, logits, dual_variables(projected, divergence, temperature, reference))
