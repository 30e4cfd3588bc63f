"""The Numba kernels: when they run, and that they agree with torch in every shape, layout and derivative."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch

from agents.geometry import KL, Hellinger, ReverseKL, Tsallis, acceleration, f_log_softargmax, f_softargmax, use_kernels

pytest.importorskip("numba", reason="the kernels need the extra `fast`")
from agents import jit
from agents.geometry import kernels

DENSE = [ReverseKL(), Hellinger(), *(Tsallis(a) for a in (0.1, 0.5, 0.75, 0.9, 0.9999))]
each = pytest.mark.parametrize("d", DENSE, ids=str)


def random_rows(*shape, seed=0, scale=3.0):
    """Float32 logits, some of them masked, never the first of a row."""
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(*shape, generator=generator)
    masked = torch.rand(*shape, generator=generator) < 0.1
    masked[..., 0] = False
    return x.masked_fill(masked, -math.inf)


def with_gradient(x, d, temperature=1.0, weights=None):
    x = x.detach().requires_grad_()
    log_probs = f_log_softargmax(x, d, temperature)
    weights = torch.cos(torch.arange(x.numel())).view_as(x).to(x) if weights is None else weights
    (grad,) = torch.autograd.grad(torch.where(log_probs > -math.inf, log_probs, 0.0).mul(weights).sum(), x)
    return log_probs.detach(), grad


def assert_same_to_rounding(actual, exact):
    finite = exact > -math.inf
    assert ((actual.double() - exact).abs() <= 1e-6 + 3e-7 * exact.abs())[finite].all()
    assert (actual[~finite] == -math.inf).all()
    assert ((actual.double().exp().sum(-1) - 1.0).abs() <= 1e-6).all()


def assert_close_gradients(actual, exact):
    scale = exact.abs().amax(-1, keepdim=True)
    assert ((actual.double() - exact).abs() <= 2e-4 * scale + 1e-12).all()


def test_cover_what_they_say():
    x, form = torch.zeros(2, 3), (0.5, 1.0)
    assert acceleration.kernels_for(x, None, form) is kernels
    uncovered: list[tuple] = [
        (x.double(), None, form),
        (x.bfloat16(), None, form),
        (x[:0], None, form),
        (x.to("meta"), None, form),
    ]
    uncovered += [(x, x, form), (x, None, (1.5, 1.0)), (x, None, KL().tsallis_form), (x, None, None)]
    assert all(acceleration.kernels_for(*case) is None for case in uncovered)
    with use_kernels(False):
        assert acceleration.kernels_for(x, None, form) is None
        with use_kernels(True):
            assert acceleration.kernels_for(x, None, form) is kernels
    assert acceleration.kernels_for(x, None, form) is kernels


@each
@pytest.mark.parametrize("n", [1, 2, 5, 24, 25, 63, 64, 65, 300])
def test_agree_with_float64_and_with_torch(d, n):
    for rows in (1, 63, 130):
        for temperature in (0.3, 20.0):
            x = random_rows(rows, n, seed=n)
            log_probs, grad = with_gradient(x, d, temperature)
            exact, exact_grad = with_gradient(x.double(), d, temperature)
            assert_same_to_rounding(log_probs, exact)
            assert_close_gradients(grad, exact_grad)
            assert (grad[log_probs == -math.inf] == 0.0).all()
            with use_kernels(False):
                _, torch_grad = with_gradient(x, d, temperature)
            torch.testing.assert_close(grad, torch_grad, rtol=1e-3, atol=1e-6 + 1e-3 * float(grad.abs().max()))


@each
@pytest.mark.parametrize("n", [*range(1, 64, 4), 64, 1000, 50_257])
def test_ties_and_near_ties(d, n):
    """Equal terms round alike, and a sum of them in float32 would drift."""
    x = torch.cat((torch.zeros(1, n), torch.full((1, n), -7.3), 1e-4 * random_rows(3, n).clamp_min(-1.0)))
    assert_same_to_rounding(f_log_softargmax(x, d), f_log_softargmax(x.double(), d))


@pytest.mark.parametrize("temperature", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("n", [2, 6, 64, 1000])
@each
def test_extreme_logits_and_temperatures(d, n, temperature):
    x = torch.cat([random_rows(50, n, seed=n, scale=scale).clamp_max(1e4) for scale in (1e-3, 1.0, 1e3, 1e4)])
    log_probs, grad = with_gradient(x, d, temperature)
    assert_same_to_rounding(log_probs, f_log_softargmax(x.double(), d, temperature))
    assert torch.isfinite(grad).all()


@each
@pytest.mark.parametrize("n", [6, 100])
def test_bit_identical_whatever_the_other_rows(d, n):
    x = random_rows(200, n)
    log_probs, grad = with_gradient(x, d)
    again, grad_again = with_gradient(x, d)
    assert torch.equal(log_probs, again) and torch.equal(grad, grad_again)
    assert torch.equal(f_log_softargmax(x[70:71], d), log_probs[70:71])
    assert torch.equal(f_log_softargmax(x.flip(0), d).flip(0), log_probs)


@pytest.mark.parametrize("n", [5, 80])
def test_shapes_and_strides(n):
    d, x = Tsallis(0.3), random_rows(4, 7, n)
    log_probs, grad = with_gradient(x, d)
    assert torch.equal(f_log_softargmax(x[2, 3], d), log_probs[2, 3])
    layouts = (x.transpose(0, 1), x.permute(2, 0, 1), x[:, ::2], x.flip(-1), x[:1].expand(6, 7, n), x[..., 1:])
    for layout in layouts:
        outcome, wanted = (
            with_gradient(layout, d),
            with_gradient(layout.clone(memory_format=torch.contiguous_format), d),
        )
        assert torch.equal(outcome[0], wanted[0]) and torch.equal(outcome[1], wanted[1])
        assert outcome[0].shape == layout.shape
    _, transposed = with_gradient(x, d, weights=torch.ones(n, 7, 4).permute(2, 1, 0))  # strides of the gradient
    _, expanded = with_gradient(x, d, weights=torch.ones(1).expand_as(x))
    assert torch.equal(transposed, expanded)
    detached = f_log_softargmax(x, d)
    assert not detached.requires_grad and torch.equal(detached, log_probs)
    with torch.inference_mode():
        assert torch.equal(f_log_softargmax(x, d), log_probs)
    assert grad.shape == x.shape


def test_input_and_output_are_left_alone():
    x = random_rows(9, 6)
    before = x.clone()
    log_probs, _ = with_gradient(x, Tsallis(0.5))
    kept = log_probs.clone()
    f_log_softargmax(x + 1.0, Tsallis(0.5))
    assert torch.equal(x, before) and torch.equal(log_probs, kept)


@pytest.mark.parametrize("n", [4, 80])
def test_second_derivatives(n):
    x, d = random_rows(3, n, scale=0.5), Tsallis(0.5)

    def products(z):
        z = z.detach().requires_grad_()
        value = f_softargmax(z, d).square().sum()
        (grad,) = torch.autograd.grad(value, z, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), z)[0]

    torch.testing.assert_close(products(x).double(), products(x.double()), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("n", [6, 90])
@pytest.mark.parametrize("alpha", [0.5, 0.7])
def test_nan_stays_in_its_row(alpha, n):
    x = random_rows(5, n)
    x[2, 1] = math.nan
    log_probs = f_log_softargmax(x, Tsallis(alpha))
    assert log_probs[2][x[2] != -math.inf].isnan().all() and not log_probs[[0, 1, 3, 4]].isnan().any()


def test_compiled_graphs_do_without():
    torch._dynamo.reset()
    d, x = Tsallis(0.3), random_rows(8, 5)
    compiled = torch.compile(lambda z: f_log_softargmax(z, d), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), f_log_softargmax(x, d))


@pytest.mark.parametrize("n", [6, 100])
def test_row_functions_in_other_compiled_code(n):
    from numba import njit

    @njit
    def one_by_one(logits, grad, log_probs, pulled):
        for row in range(len(logits)):
            kernels.log_softargmax_row(logits[row], 0.5, 1.0, log_probs[row])
            kernels.log_softargmax_vjp_row(log_probs[row], grad[row], 0.5, 1.0, pulled[row])

    x, grad = random_rows(20, n), torch.ones(20, n)
    log_probs, pulled, at_once, pulled_at_once = (torch.empty_like(x) for _ in range(4))
    one_by_one(x.numpy(), grad.numpy(), log_probs.numpy(), pulled.numpy())
    kernels.log_softargmax_rows(x.numpy(), 0.5, 1.0, at_once.numpy())
    kernels.log_softargmax_vjp_rows(at_once.numpy(), grad.numpy(), 0.5, 1.0, pulled_at_once.numpy())
    torch.testing.assert_close(log_probs, at_once, rtol=3e-7, atol=1e-6)
    torch.testing.assert_close(pulled, pulled_at_once, rtol=1e-4, atol=1e-5)


def test_without_a_working_numba_torch_computes(monkeypatch):
    x = random_rows(5, 6)
    with use_kernels(False):
        expected = with_gradient(x, Tsallis(0.5))
    monkeypatch.setitem(sys.modules, "agents.geometry.kernels", None)  # importing it raises ImportError
    monkeypatch.delattr("agents.geometry.kernels")
    acceleration._load.cache_clear()
    try:
        actual = with_gradient(x, Tsallis(0.5))
        assert acceleration.kernels_for(x, None, (0.5, 1.0)) is None
    finally:
        acceleration._load.cache_clear()
    assert torch.equal(actual[0], expected[0]) and torch.equal(actual[1], expected[1])


def test_work_without_a_folder_for_the_cache(monkeypatch):
    def njit(function, cache=False, **settings):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr(jit, "njit", njit)
    assert jit.compiled("contract")(math.sqrt) is math.sqrt


def test_numba_is_imported_on_use_only_and_must_compile():
    code = "import sys, torch; from agents.geometry import acceleration; assert 'numba' not in sys.modules;"
    code += "assert acceleration.kernels_for(torch.zeros(1, 2), None, (0.5, 1.0)) is None and 'numba' in sys.modules"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environment)
