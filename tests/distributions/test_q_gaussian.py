"""The q-Gaussian against numerical integration, SciPy's Student-t and its Gaussian limit."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch.distributions import Normal, kl_divergence

from agents.distributions import QGaussian, clamped_log_prob
from agents.geometry import Tsallis, dual_variables

ALPHAS = [0.1, 0.4, 0.5, 0.9, 1.1, 1.5, 2.0, 2.9]
each = pytest.mark.parametrize("alpha", ALPHAS)


def standard(alpha, loc=0.3, log_scale=-0.2):
    return QGaussian(torch.tensor([[loc]], dtype=torch.float64), torch.tensor([log_scale], dtype=torch.float64), alpha)


def grid(points=400_001):
    """A substitution that reaches far into heavy tails: x = sinh(y), with its Jacobian as weight."""
    y = torch.linspace(-40.0, 40.0, points, dtype=torch.float64)
    return y.sinh().unsqueeze(-1), y.cosh() * (y[1] - y[0])


@each
def test_density_integrates_to_one_and_entropy_is_its_expectation(alpha):
    p = standard(alpha)
    x, weight = grid()
    log_p = p.log_prob(x)
    density = log_p.exp() * weight
    assert density.sum().item() == pytest.approx(1.0, abs=2e-4)
    entropy = -(density * log_p.where(log_p > -math.inf, 0.0)).sum()
    assert entropy.item() == pytest.approx(p.entropy().item(), abs=2e-3)
    if alpha > 1 / 3:
        variance = (density * (x[:, 0] - 0.3).square()).sum().item()
        assert variance == pytest.approx(p.variance.item(), rel=1e-2)
    else:
        assert p.variance.item() == math.inf


@each
def test_is_the_f_softargmax_of_a_quadratic_score(alpha):
    p = standard(alpha)
    x = 0.3 + torch.linspace(-0.7, 0.7, 21, dtype=torch.float64).unsqueeze(-1)
    score = dual_variables(p.log_prob(x).exp(), Tsallis(alpha), 1.0, torch.ones(21, dtype=torch.float64))
    curvature = score.diff(n=2)
    torch.testing.assert_close(curvature, curvature.mean().expand_as(curvature), rtol=1e-6, atol=1e-9)
    assert curvature.mean() < 0


@each
def test_samples_follow_the_density(alpha):
    torch.manual_seed(0)
    p = standard(alpha)
    x = p.sample(torch.Size([100_000]))
    log_p = p.log_prob(x)
    assert torch.isfinite(log_p).all()
    assert -log_p.mean().item() == pytest.approx(p.entropy().item(), abs=0.03)
    scaled = (x.flatten() - 0.3) / math.exp(-0.2)
    if alpha < 1:
        reference = stats.t(2 / (1 - alpha) - 1)
    else:
        m = 1 / (alpha - 1)
        reference = stats.beta(m + 1, m + 1, loc=-math.sqrt(2 * m + 1), scale=2 * math.sqrt(2 * m + 1))
    assert stats.kstest(scaled.numpy(), reference.cdf).pvalue > 1e-3


def test_gaussian_limit():
    x = torch.linspace(-3, 3, 13, dtype=torch.float64).unsqueeze(-1)
    for alpha in (1 - 1e-5, 1 + 1e-5):
        p = standard(alpha)
        normal = Normal(p.loc, p.scale)
        torch.testing.assert_close(p.log_prob(x), normal.log_prob(x).sum(-1), rtol=0, atol=1e-3)
        torch.testing.assert_close(p.entropy(), normal.entropy().sum(-1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_kl_is_an_expectation_with_a_gradient(alpha):
    loc = torch.tensor([[0.3, -1.0]], dtype=torch.float64, requires_grad=True)
    log_scale = torch.tensor([[0.1, -0.5]], dtype=torch.float64, requires_grad=True)
    p, q = QGaussian(loc, log_scale, alpha), QGaussian(torch.zeros_like(loc), torch.zeros_like(loc), alpha)
    torch.manual_seed(0)
    x = p.sample(torch.Size([200_000]))
    sampled = (p.log_prob(x) - q.log_prob(x)).mean()
    assert kl_divergence(p, q).item() == pytest.approx(sampled.item(), abs=0.02)
    assert kl_divergence(p, p).abs().item() < 1e-12
    assert torch.autograd.gradcheck(lambda m, s: kl_divergence(QGaussian(m, s, alpha), q), (loc, log_scale))
    assert torch.autograd.gradcheck(lambda m, s: kl_divergence(q, QGaussian(m, s, alpha)), (loc, log_scale))


def test_compact_support():
    p = standard(1.5)
    outside = p.loc + 1.01 * p.radius * p.scale
    assert p.log_prob(outside) == -math.inf and not p.full_support
    assert clamped_log_prob(p, outside).item() == pytest.approx(math.log(1e-12))
    with pytest.raises(ValueError, match="may be infinite"):
        kl_divergence(p, standard(1.5))


def test_bad_input_is_named():
    for alpha in (0.0, -1.0, 1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="alpha="):
            standard(alpha)
    with pytest.raises(ValueError, match="log_scale of shape"):
        QGaussian(torch.zeros(2, 3), torch.zeros(2), 0.5)
    with pytest.raises(ValueError, match="no closed form"):
        standard(0.5).f_divergence(Tsallis(0.5))
