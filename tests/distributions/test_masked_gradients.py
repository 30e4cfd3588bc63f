"""Gradients of masked heads are finite, zero at invalid actions, and those of the head over the valid actions alone."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import kl_divergence

from agents.distributions import FSoftargmaxCategorical
from agents.geometry import divergence_from_name

MASK = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]], dtype=torch.bool)
HEADS = ("kl", "tsallis:0.1", "tsallis:0.5", "tsallis:0.9", "tsallis:1.5", "reverse_kl", "js", "hellinger", "chi2")


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masked_gradients(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    divergence = divergence_from_name(name)
    logits = torch.randn(4, 4, dtype=dtype, requires_grad=True)
    old = FSoftargmaxCategorical(logits.detach() + 0.1 * torch.randn(4, 4, dtype=dtype), divergence, mask=MASK)
    actions = old.sample()
    policy = FSoftargmaxCategorical(logits, divergence, mask=MASK)
    loss = policy.clamped_log_prob(actions) + policy.entropy() + kl_divergence(old, policy)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.isfinite().all()
    assert (gradient[~MASK] == 0).all()
    for row, mask in enumerate(MASK):
        alone = logits[row, mask].detach().clone().requires_grad_()
        new, before = (
            FSoftargmaxCategorical(alone[None], divergence),
            FSoftargmaxCategorical(old.scores[row, mask][None], divergence),
        )
        action = mask[: actions[row]].sum()[None]
        value = new.clamped_log_prob(action) + new.entropy() + kl_divergence(before, new)
        (expected,) = torch.autograd.grad(value.sum(), alone)
        torch.testing.assert_close(gradient[row, mask], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_a_large_coefficient_keeps_masked_gradients_finite(name: str) -> None:
    divergence = divergence_from_name(name)
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    policy = FSoftargmaxCategorical(logits, divergence, mask=MASK)
    old = FSoftargmaxCategorical(logits.detach() * 0.9, divergence, mask=MASK)
    (gradient,) = torch.autograd.grad((100 * (kl_divergence(policy, old) - policy.entropy())).sum(), logits)
    assert gradient.isfinite().all()
    assert (gradient[~MASK] == 0).all()
