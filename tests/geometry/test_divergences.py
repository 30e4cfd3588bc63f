"""The generators: derivatives, inverses, conjugates, limits, names."""

from __future__ import annotations

import math

import pytest
import torch

from agents.geometry import (
    KL,
    ChiSquare,
    Divergence,
    Hellinger,
    JensenShannon,
    ReverseKL,
    Tsallis,
    divergence_from_name,
    f_softargmax,
)

GENERATORS: list[Divergence] = [KL(), ReverseKL(), JensenShannon(), ChiSquare(), Hellinger()]
GENERATORS += [Tsallis(a) for a in (0.05, 0.5, 0.9, 1.0, 1.001, 1.5, 2.0, 3.0)]
each = pytest.mark.parametrize("d", GENERATORS, ids=str)
U = torch.logspace(-6, 6, 121, dtype=torch.float64)


@each
def test_derivatives_are_those_of_f(d):
    u = U.clone().requires_grad_()
    (first,) = torch.autograd.grad(d.f(u).sum(), u, create_graph=True)
    torch.testing.assert_close(first, d.f_prime(u), rtol=1e-8, atol=1e-8)
    (second,) = torch.autograd.grad(d.f_prime(u).sum(), u)
    torch.testing.assert_close(second, d.f_second(U), rtol=1e-9, atol=1e-10)
    assert float(d.f(torch.ones((), dtype=torch.float64))) == 0.0


@each
def test_inverse_and_conjugate(d):
    u = U[(U > 1e-4) & (U < 1e4)]
    y = d.f_prime(u)
    torch.testing.assert_close(d.f_prime_inverse(y), u, rtol=1e-7, atol=0)  # y rounds where f' saturates
    torch.testing.assert_close(d.conjugate(y), u * y - d.f(u), rtol=1e-7, atol=1e-9)
    slope = torch.autograd.functional.jacobian(lambda t: d.conjugate(t).sum(), y)
    torch.testing.assert_close(slope, d.f_prime_inverse(y), rtol=1e-7, atol=1e-8)


@each
def test_sensitivity_is_the_slope_of_log_u(d):
    torch.testing.assert_close(d.sensitivity(U.log()), 1.0 / (U * d.f_second(U)), rtol=1e-9, atol=0)


@each
def test_log_ratio_below_shifts_the_dual(d):
    best, gap = torch.tensor(3.0, dtype=torch.float64), torch.tensor([0.0, 0.01, 0.3], dtype=torch.float64)
    want = d.f_prime_inverse(d.f_prime(best.exp()) - gap).log()
    torch.testing.assert_close(d.log_ratio_below(best, gap), want)


def test_limits_and_support():
    sparse = [str(d) for d in GENERATORS if not d.full_support]
    assert sparse == ["chi2", "tsallis:1.001", "tsallis:1.5", "tsallis:2", "tsallis:3"]
    assert KL().f_zero == 0.0 and ReverseKL().f_zero == math.inf
    assert JensenShannon().f_zero == pytest.approx(math.log(2) / 2)
    assert Tsallis(0.5).f_zero == 2.0 and Tsallis(1.5).f_zero == pytest.approx(1 / 1.5) and Tsallis(1.0).f_zero == 1.0
    assert Tsallis(1.5).f_prime_zero == -2.0 and ChiSquare().f_prime_zero == -2.0
    assert KL().f_prime_infinity == math.inf and Tsallis(0.5).f_prime_infinity == 2.0
    assert Hellinger().f_prime_infinity == 1.0 and JensenShannon().f_prime_infinity == pytest.approx(math.log(2) / 2)


def test_outside_the_range_of_f_prime():
    above = torch.tensor([100.0], dtype=torch.float64)
    for d in (ReverseKL(), JensenShannon(), Hellinger(), Tsallis(0.5)):
        assert d.f_prime_inverse(above) == math.inf and d.conjugate(above) == math.inf
    for sparse in (ChiSquare(), Tsallis(1.5), Tsallis(3.0)):
        assert sparse.f_prime_inverse(-above) == 0.0
        torch.testing.assert_close(sparse.conjugate(-above), torch.full_like(above, -sparse.f_zero))


def test_tsallis_joins_its_relatives():
    u = U[(U > 1e-3) & (U < 1e3)]
    kl = Tsallis(1.0)
    for d in (Tsallis(1.0 - 1e-7), Tsallis(1.0 + 1e-7)):
        torch.testing.assert_close(d.f(u), kl.f(u), rtol=1e-5, atol=1e-9)
        torch.testing.assert_close(d.f_prime(u), kl.f_prime(u), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(Tsallis(0.5).f(u), 2 * Hellinger().f(u))
    torch.testing.assert_close(Tsallis(2.0).f(u), ChiSquare().f(u) / 2)
    torch.testing.assert_close(Tsallis(1e-7).f(u), ReverseKL().f(u) + u - 1, rtol=1e-5, atol=1e-6)


@each
def test_divergence_is_zero_only_at_the_reference(d):
    p = torch.tensor([[0.2, 0.3, 0.5], [0.5, 0.25, 0.25]], dtype=torch.float64)
    assert d.divergence(p, p).abs().max() < 1e-15
    assert (d.divergence(p) > 0).all()
    assert d.divergence(torch.full((4,), 0.25, dtype=torch.float64)).abs() < 1e-15


@each
def test_divergence_at_zeros_is_the_limit_and_has_no_gradient_there(d):
    p = torch.tensor([0.0, 0.4, 0.6], dtype=torch.float64, requires_grad=True)
    value = d.divergence(p)
    expected = (d.f(torch.tensor([1.2, 1.8], dtype=torch.float64)).sum() + d.f_zero) / 3
    torch.testing.assert_close(value, expected)
    (grad,) = torch.autograd.grad(value, p)
    assert grad[0] == 0.0 and torch.isfinite(grad).all()
    outside = d.divergence(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(outside, d.f(torch.tensor(0.5)) + 0.5 * d.f_prime_infinity)


@each
def test_names_round_trip(d):
    assert divergence_from_name(str(d)) == d and hash(d) == hash(divergence_from_name(str(d)))


def test_bad_names_and_indices():
    with pytest.raises(ValueError, match="did you mean 'hellinger'"):
        divergence_from_name("helinger")
    for bad in ("tsallis", "tsallis:x", "kl:1"):
        with pytest.raises(ValueError, match=bad):
            divergence_from_name(bad)
    for alpha in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="alpha="):
            Tsallis(alpha)


def test_a_generator_of_ones_own():
    class Doubled(Divergence):
        """2 u log u, whose softargmax is the softmax at temperature 2, given only f and its derivatives."""

        name = "doubled"

        def f(self, u):
            return 2 * torch.xlogy(u, u)

        def f_prime(self, u):
            return 2 * (u.log() + 1)

        def f_second(self, u):
            return 2 / u

        def f_prime_inverse(self, y):
            return (y / 2 - 1).exp()

    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(f_softargmax(x, Doubled()), torch.softmax(x / 2, -1))
    assert torch.autograd.gradcheck(lambda z: f_softargmax(z, Doubled()), x)
