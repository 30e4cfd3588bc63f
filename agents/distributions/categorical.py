"""The categorical distribution over the f-softargmax, and its divergences, tilt and Fenchel-Young loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl
from torch.distributions.utils import lazy_property
from torch.types import _size

from ..geometry import KL, Divergence, f_conjugate, f_log_softargmax
from .base import NO_SHAPE, ActionDistribution, clamp_to_floor, lost_support_to_floor


class FSoftargmaxCategorical(ActionDistribution):
    """π = argmax_p <p, z> - temperature · D_f(p || reference) over A actions, for logits z [B, A].

    `mask` [B, A] or [A] is True at valid actions: the others get probability zero, and the reference (uniform, or
    [A] or [B, A]) is renormalised over the valid ones. `scores` are the raw logits, the dual variables of π.
    For the sparse generators (Tsallis with alpha > 1, chi2) probabilities may be exactly zero.

    Raises ValueError for a temperature <= 0, NaN or +inf logits, a reference that is no distribution or misses an
    action, shapes that do not fit, and states without a valid action. `validate_args=False` skips the checks that
    read tensors, and so does torch.compile.
    """

    def __init__(
        self,
        logits: Tensor,
        divergence: Divergence = KL(),  # noqa: B008 - frozen
        temperature: float = 1.0,
        reference: Tensor | None = None,
        mask: Tensor | None = None,
        validate_args: bool = True,
    ) -> None:
        if not 0.0 < temperature < math.inf:
            raise ValueError(f"temperature={temperature!r}: must be positive and finite")
        for name, tensor in (("reference", reference), ("mask", mask)):
            if tensor is not None and tensor.shape not in (logits.shape, logits.shape[-1:]):
                allowed = f"{tuple(logits.shape)} or {tuple(logits.shape[-1:])}"
                raise ValueError(f"{name} of shape {tuple(tensor.shape)}: expected {allowed}")
        self.scores, self.divergence, self.temperature = logits, divergence, temperature
        self.mask = None if mask is None else mask.to(device=logits.device, dtype=torch.bool).expand(logits.shape)
        self.given_reference = reference
        self.full_support = divergence.full_support
        super().__init__(logits.shape[:-1], validate_args=False)
        if validate_args and not torch.compiler.is_compiling():
            self._check()

    def _check(self) -> None:
        scores = self.scores.detach()
        if not scores.sum().isfinite():
            if ((scores != scores) | (scores == math.inf)).any():
                raise ValueError("logits: contain NaN or +inf, must be finite or -inf")
            if (scores == -math.inf).all(-1).any():
                raise ValueError("logits: some state has -inf for every action, one must be finite")
        if self.mask is not None and not self.mask.any(-1).all():
            raise ValueError("mask: some state has no valid action")
        if self.given_reference is not None:
            q = self.given_reference.double()
            if not ((q > 0).all() and ((q.sum(-1) - 1.0).abs() < 1e-4).all()):
                found = f"smallest entry {q.min():g}, sums from {q.sum(-1).min():g} to {q.sum(-1).max():g}"
                raise ValueError(f"reference: {found}; must be a probability distribution with support on every action")

    @lazy_property
    def reference(self) -> Tensor | None:
        """The reference over the valid actions; None is uniform over all."""
        if self.mask is None:
            return self.given_reference
        weights = self.mask.to(self.scores.dtype)
        if self.given_reference is not None:
            weights = weights * self.given_reference.to(weights)
        return weights / weights.sum(-1, keepdim=True)

    @lazy_property
    def _dual(self) -> Tensor:
        return self.scores if self.mask is None else self.scores.masked_fill(~self.mask, -math.inf)

    @lazy_property
    def log_probs(self) -> Tensor:
        """log π [B, A], -inf where π is zero."""
        return f_log_softargmax(self._dual, self.divergence, self.temperature, self.reference)

    @lazy_property
    def probs(self) -> Tensor:
        """π [B, A]."""
        return self.log_probs.exp()

    @property
    def logits(self) -> Tensor:
        """log π, by the name that torch's Categorical gives it."""
        return self.log_probs

    @property
    def mode(self) -> Tensor:
        return self.log_probs.argmax(-1)

    def sample(self, sample_shape: _size = NO_SHAPE) -> Tensor:
        """Actions [*sample_shape, B], int64; never one of probability zero."""
        flat, n = self.probs.detach().reshape(-1, self.scores.shape[-1]).float(), torch.Size(sample_shape).numel()
        if flat.is_cuda and n == 1:  # what multinomial does, without its checks, which wait for the GPU
            drawn = (flat / torch.empty_like(flat).exponential_()).argmax(-1, keepdim=True)
        else:
            drawn = torch.multinomial(flat, n, replacement=True)
        return drawn.T.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """log π(a|s) [B] of actions [B]."""
        index = value.long().unsqueeze(-1)
        if index.shape[:-1] == self.batch_shape:
            return self.log_probs.gather(-1, index).squeeze(-1)
        index, log_probs = torch.broadcast_tensors(index, self.log_probs)
        return log_probs.gather(-1, index[..., :1]).squeeze(-1)

    def clamped_log_prob(self, actions: Tensor) -> Tensor:
        log_prob = self.log_prob(actions)
        return log_prob if self.full_support else clamp_to_floor(log_prob)

    def entropy(self) -> Tensor:
        """Shannon entropy [B] in nats; 0 log 0 = 0."""
        return -(self.probs * self._finite_log_probs).sum(-1)

    @lazy_property
    def _finite_log_probs(self) -> Tensor:
        if self.full_support and self.mask is None:
            return self.log_probs
        # far from the largest number: a coefficient times this must stay finite, since it meets a probability of 0
        return self.log_probs.clamp_min(max(torch.finfo(self.log_probs.dtype).min, -1e30))

    def f_divergence(self, divergence: Divergence, reference: Tensor | Distribution | None = None) -> Tensor:
        """D_f(π || reference) [B] for any generator; reference [A] or [B, A] or a categorical, None: uniform over the
        valid actions. A zero of a sparse head counts as 1e-12, without gradient, where f(0+) is infinite."""
        if isinstance(reference, FSoftargmaxCategorical):
            reference = reference.probs
        elif reference is None and self.mask is not None:
            valid = self.mask.to(self.scores.dtype)
            reference = valid / valid.sum(-1, keepdim=True)
        elif not (reference is None or isinstance(reference, Tensor)):
            raise ValueError(f"reference: expected probabilities or a categorical, got {type(reference).__name__}")
        probs = self.probs
        if not self.full_support and math.isinf(divergence.f_zero):
            probs = probs.clamp_min(1e-12) if self.mask is None else probs.clamp_min(1e-12) * self.mask
        return divergence.divergence(probs, reference)

    def divergence_to_reference(self) -> Tensor:
        """D_f(π || reference) [B] with the head's own generator and reference."""
        return self.f_divergence(self.divergence, self.reference)

    def tilted(self, advantages: Tensor, actions: Tensor | None = None) -> FSoftargmaxCategorical:
        """The head with scores z + temperature · advantages: [B, A], or [B] at `actions` [B] only. For the softmax,
        π exp(A) up to normalisation; for a sparse head a step of dual averaging."""
        if advantages.dim() == self.scores.dim():
            scores = self.scores + self.temperature * advantages
        else:
            if actions is None:
                raise ValueError("actions: needed to tilt by the advantages of sampled actions")
            index = actions.long().unsqueeze(-1)
            scores = self.scores.scatter_add(-1, index, self.temperature * advantages.unsqueeze(-1).to(self.scores))
        return self._with_scores(scores)

    def _with_scores(self, scores: Tensor) -> FSoftargmaxCategorical:
        return FSoftargmaxCategorical(
            scores, self.divergence, self.temperature, self.given_reference, self.mask, validate_args=False
        )

    def fenchel_young(self, target: Distribution) -> Tensor:
        """L(z; p) = φ*(z) + φ(p) - <z, p> >= 0, [B], φ = temperature · D_f(· || reference), p the target's policy.

        Its gradient in z is π - p and its Hessian positive semi-definite for every generator; for the softmax it is
        temperature · KL(p || π). φ(p) is a constant, left out where infinite. (Blondel, Martins, Niculae, 2020.)
        """
        if not isinstance(target, FSoftargmaxCategorical):
            raise ValueError(f"target: expected a categorical, got {type(target).__name__}")
        p = target.probs.detach()
        if isinstance(self.divergence, KL):
            return self.temperature * (p * (target._finite_log_probs.detach() - self._finite_log_probs)).sum(-1)
        value = f_conjugate(self._dual, self.divergence, self.temperature, self.reference)
        constant = self.temperature * self.divergence.divergence(p, self.reference)
        constant = torch.where(constant.isfinite(), constant, 0.0)
        return value + constant - torch.where(p > 0, p * self.scores, 0.0).sum(-1)

    def diagnostics(self) -> dict[str, Tensor]:
        """min_prob (of a valid action), support_size and logit_norm, [B] each."""
        probs, scores = self.probs.detach(), self.scores.detach()
        valid = probs if self.mask is None else torch.where(self.mask, probs, math.inf)
        return {
            "min_prob": valid.amin(-1),
            "support_size": (probs > 0).sum(-1).to(probs.dtype),
            "logit_norm": scores.norm(dim=-1),
        }

    def expand(self, batch_shape: _size, _instance: object = None) -> FSoftargmaxCategorical:
        """The same distribution over a larger batch shape."""
        shape = torch.Size(batch_shape) + self.scores.shape[-1:]
        reference = self.given_reference
        return FSoftargmaxCategorical(
            self.scores.expand(shape),
            self.divergence,
            self.temperature,
            reference if reference is None or reference.dim() == 1 else reference.expand(shape),
            None if self.mask is None else self.mask.expand(shape),
            validate_args=False,
        )


@register_kl(FSoftargmaxCategorical, FSoftargmaxCategorical)
def _kl_categorical(p: FSoftargmaxCategorical, q: FSoftargmaxCategorical) -> Tensor:
    """KL(p || q) [B], exact; q's zeros count as 1e-12, without gradient there."""
    log_q = q.log_probs if q.full_support and q.mask is None else lost_support_to_floor(q.log_probs, q.full_support)
    return (p.probs * (p._finite_log_probs - log_q)).sum(-1)
