"""The diagonal Gaussian against torch's Normal, which is what SB3's DiagGaussianDistribution holds."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from agents.distributions import DiagonalGaussian, clamped_log_prob
from agents.geometry import KL


def pair(seed):
    g = torch.Generator().manual_seed(seed)
    mean, log_std = torch.randn(5, 3, generator=g), torch.randn(3, generator=g)
    return DiagonalGaussian(mean, log_std), Normal(mean, log_std.exp())


def test_is_a_product_of_normals():
    (ours, torchs), (other, others) = pair(0), pair(1)
    torch.manual_seed(4)
    actions = ours.sample()
    torch.manual_seed(4)
    assert torch.equal(actions, torchs.rsample())
    assert torch.equal(ours.log_prob(actions), torchs.log_prob(actions).sum(-1))
    assert torch.equal(clamped_log_prob(ours, actions), ours.log_prob(actions))
    assert torch.equal(ours.entropy(), torchs.entropy().sum(-1))
    assert torch.equal(ours.mode, torchs.mean) and torch.equal(ours.variance, torchs.variance)
    torch.testing.assert_close(kl_divergence(ours, other), kl_divergence(torchs, others).sum(-1))
    torch.testing.assert_close(other.fenchel_young(ours), kl_divergence(ours, other))


def test_shapes_and_diagnostics():
    ours, _ = pair(0)
    assert ours.sample(torch.Size([7])).shape == (7, 5, 3) and ours.expand(torch.Size([2, 5])).mean.shape == (2, 5, 3)
    torch.testing.assert_close(ours.diagnostics()["std"], ours.scale.mean(-1))
    mean = torch.zeros(2, 3, requires_grad=True)
    assert not DiagonalGaussian(mean, torch.zeros(3)).sample().requires_grad
    assert DiagonalGaussian(mean, torch.zeros(3)).rsample().requires_grad


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="log_std of shape"):
        DiagonalGaussian(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match="mean"):
        DiagonalGaussian(torch.full((2, 3), torch.nan), torch.zeros(3))
    with pytest.raises(ValueError, match="no uniform reference"):
        pair(0)[0].f_divergence(KL())
    with pytest.raises(ValueError, match="target"):
        pair(0)[0].fenchel_young(pair(0)[1])
