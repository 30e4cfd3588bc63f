"""The operator beyond the golden cases: gradients of both orders, rounding, limits, shapes, references, compilation."""

from __future__ import annotations

import math

import pytest
import torch
from entmax import entmax_bisect
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.geometry import (
    KL,
    ChiSquare,
    Hellinger,
    JensenShannon,
    ReverseKL,
    Tsallis,
    f_conjugate,
    f_log_softargmax,
    f_softargmax,
)

DENSE = [KL(), ReverseKL(), JensenShannon(), Hellinger(), *(Tsallis(a) for a in (0.05, 0.5, 0.9, 0.999))]
SPARSE = [ChiSquare(), *(Tsallis(a) for a in (1.1, 1.5, 2.0, 3.0))]
REFERENCE = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
PER_STATE = torch.stack((REFERENCE, REFERENCE.flip(0)))
each = pytest.mark.parametrize("d", DENSE + SPARSE, ids=str)
each_dense = pytest.mark.parametrize("d", DENSE, ids=str)


def random_logits(*shape, scale=1.0, seed=0, dtype=torch.float64):
    return scale * torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def adversarial(rows, n, seed):
    """Float32 rows over eight decades of scale: ties, near ties, one dominant, two-valued, masked by -1e8 and -inf."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, n, generator=g) * 10 ** (8 * torch.rand(rows, 1, generator=g) - 4)
    ties, two, dominant, split, low, masked = x[: 6 * (rows // 7)].clamp(-1e4, 1e4).chunk(6)
    coin = torch.rand(len(ties), n, generator=g) < 0.3
    dominant = dominant.clone()
    dominant[:, 0] = 1e4
    shapes = [x.clamp(-1e4, 1e4), ties.round(), torch.where(coin, two, two[:, :1]), dominant, 1e4 * split.sign()]
    for rows_, value in ((low, -1e8), (masked, -math.inf)):
        shapes.append(rows_.masked_fill(coin, value))
        shapes[-1][:, 0] = rows_[:, 0]
    return torch.cat(shapes)


@each
@pytest.mark.parametrize("reference", [None, REFERENCE, PER_STATE], ids=["uniform", "per-action", "per-state"])
def test_gradients_of_both_orders(d, reference):
    x = random_logits(2, 4, scale=0.3, seed=1).requires_grad_()  # inside the support of the sparse ones
    for temperature in (0.7, 5.0):
        log_probs = lambda z: f_log_softargmax(z, d, temperature, reference)  # noqa: B023, E731
        assert torch.autograd.gradcheck(log_probs, x)
        assert torch.autograd.gradgradcheck(log_probs, x)
    value = lambda z: f_conjugate(z, d, 0.7, reference)  # noqa: E731
    assert torch.autograd.gradcheck(value, x) and torch.autograd.gradgradcheck(value, x)


@pytest.mark.parametrize("d", SPARSE, ids=str)
def test_sparse_policies_have_exact_zeros_and_no_gradient_there(d):
    x = torch.tensor([[3.0, 2.9, -40.0]], dtype=torch.float64, requires_grad=True)
    log_probs = f_log_softargmax(x, d)
    assert log_probs[0, 2] == -math.inf and f_softargmax(x, d)[0, 2] == 0.0
    (grad,) = torch.autograd.grad(log_probs[0, 0] + log_probs[0, 1].square(), x)
    assert grad[0, 2] == 0.0 and torch.isfinite(grad).all() and abs(grad.sum()) < 1e-12
    assert torch.autograd.gradcheck(lambda z: f_softargmax(z, d), x)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.5, 0.7, 0.75, 0.8, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("n", [2, 3, 6, 18])
def test_float32_is_right_to_rounding_on_adversarial_rows(alpha, n, path):
    x, d = adversarial(28_000, n, seed=n), Tsallis(alpha)  # 28,000 x 36 cases: a million rows
    x.requires_grad_()
    log_probs = f_log_softargmax(x, d)
    exact = f_log_softargmax(x.detach().double(), d)
    finite = exact > -math.inf
    error = (log_probs.detach().double() - exact).abs()[finite]
    assert (error <= 1e-6 + 3e-7 * exact[finite].abs()).all()
    assert (log_probs[~finite] == -math.inf).all()
    assert ((log_probs.detach().double().exp().sum(-1) - 1.0).abs() <= 1e-6).all()
    (grad,) = torch.autograd.grad(log_probs[finite].sum(), x)
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("n", [64, 1024, 50_257])
def test_float32_is_right_to_rounding_where_one_action_leads_many(alpha, n, path):
    """The hard case for a sum of many: a best action that holds 0.1 % to 10 % against thousands of others."""
    generator = torch.Generator().manual_seed(n)
    for scale in (0.1, 1.0, 30.0):
        for lead in (0.1, 3.0, 30.0):
            x = scale * torch.randn(4, n, generator=generator)
            x[:, 0] = x.amax(1) + lead * torch.rand(4, generator=generator)
            log_probs, exact = f_log_softargmax(x, Tsallis(alpha)), f_log_softargmax(x.double(), Tsallis(alpha))
            assert ((log_probs.double() - exact).abs() <= 1e-6 + 3e-7 * exact.abs()).all()
            assert ((log_probs.double().exp().sum(-1) - 1.0).abs() <= 1e-6).all()


@pytest.mark.parametrize("d", [*(Tsallis(a) for a in (0.1, 0.5, 0.9, 1.5, 3.0)), JensenShannon()], ids=str)
@pytest.mark.parametrize("n", [1, 63, 64, 513, 50_257])
def test_many_actions(d, n):
    x = random_logits(3, n, seed=n, scale=2.0)
    probs = f_softargmax(x, d)
    assert ((probs.sum(-1) - 1.0).abs() < 1e-12).all()
    dual = d.f_prime(probs * n)  # λ f'(u) = x - μ on the support
    shift = torch.where(probs > 0, x - dual, math.nan)
    spread = shift.nan_to_num(nan=-math.inf).amax(-1) - shift.nan_to_num(nan=math.inf).amin(-1)
    assert (spread < 1e-8).all()


@each_dense
def test_references_down_to_1e_12_and_extreme_temperatures(d):
    q = torch.tensor([1e-12, 1e-6, 0.5], dtype=torch.float64)
    q = torch.cat((q, 1 - q.sum(-1, keepdim=True)))
    for scale in (1e-3, 1.0, 1e4):
        x = random_logits(200, 4, scale=scale, seed=3)
        for temperature in (1e-4, 1.0, 1e4):
            log_probs = f_log_softargmax(x, d, temperature, q)
            assert torch.isfinite(log_probs).all() and ((log_probs.exp().sum(-1) - 1).abs() < 1e-12).all()
            if scale / temperature < 1e3:  # beyond, f' of the best actions saturates
                shift = temperature * d.f_prime((log_probs - q.log()).exp()) - x
                assert ((shift - shift[:, 3:]).abs() < 1e-3 * temperature).all()


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [2, 6, 100])
def test_float32_is_right_to_rounding_with_references_down_to_1e_12(alpha, n):
    x = adversarial(1400, n, seed=n)
    q = 10 ** (-12 * torch.rand(len(x), n, generator=torch.Generator().manual_seed(0)))
    q = (q / q.sum(-1, keepdim=True)).clamp_min(1e-12)
    log_probs = f_log_softargmax(x, Tsallis(alpha), 1.0, q)
    exact = f_log_softargmax(x.double(), Tsallis(alpha), 1.0, q.double())
    finite = exact > -math.inf
    assert ((log_probs.double() - exact).abs() <= 1e-6 + 3e-7 * exact.abs())[finite].all()
    assert ((log_probs.double().exp().sum(-1) - 1.0).abs() <= 1e-6).all()


@pytest.mark.parametrize("d", [KL(), ChiSquare(), *(Tsallis(a) for a in (1.01, 1.1, 1.5, 2.0, 5.0))], ids=str)
@pytest.mark.parametrize("n", [2, 6, 63])
def test_float32_is_right_to_rounding_near_an_edge_and_far_from_zero(d, n):
    """Probabilities that are what others leave of 1, and logits that share a large number."""
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(4000, n, generator=generator) * 10 ** (2 * torch.rand(4000, 1, generator=generator) - 1)
    q = 10 ** (-12 * torch.rand(n, generator=generator))
    q = (q / q.sum()).clamp_min(1e-12)
    for logits, temperature, reference in ((x, 0.3, None), (9000.0 + x, 1e-2, None), (9000.0 + x, 1.0, q)):
        log_probs = f_log_softargmax(logits, d, temperature, reference)
        exact = f_log_softargmax(logits.double(), d, temperature, reference)
        finite = exact > -math.inf
        assert ((log_probs.double() - exact).abs() <= 1e-6 + 3e-7 * exact.abs())[finite].all()
        assert (log_probs[~finite] == -math.inf).all()


@pytest.mark.parametrize("alpha", [0.9, 0.99, 0.999, 1 + 1e-9, 1.001, 1.01])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_where_probabilities_underflow(alpha, dtype):
    gap = min(9e3, 0.999 / abs(alpha - 1.0))  # inside the support, hardly, for alpha > 1
    x = torch.tensor([[gap if alpha > 1 else 1e4, 0.0, 0.0]], dtype=dtype, requires_grad=True)
    log_probs = f_log_softargmax(x, Tsallis(alpha))
    assert log_probs[0, 1] < -60
    for create_graph in (False, True):
        (grad,) = torch.autograd.grad(log_probs[0, 1], x, create_graph=create_graph, retain_graph=True)
        assert torch.isfinite(grad).all() and grad[0, 1] > 0
    assert torch.isfinite(torch.autograd.grad(grad.square().sum(), x)[0]).all()


@each_dense
def test_gradients_keep_their_digits_at_a_nearly_certain_action(d):
    """J v = w (v - Σ w v / Σ w) / λ by differences, in which nothing cancels."""
    x = torch.tensor([10.0, 0.3, 0.0], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([0.7, -1.1, 0.4], dtype=torch.float64)
    probs = f_softargmax(x, d, 0.3)
    u = probs.detach() * 3
    w = 1 / (3 * d.f_second(u))
    wanted = (w.unsqueeze(1) * w * (v.unsqueeze(1) - v)).sum(1) / w.sum() / 0.3
    (jvp,) = torch.autograd.grad(probs, x, v)
    torch.testing.assert_close(jvp, wanted, rtol=1e-9, atol=0)


@pytest.mark.parametrize("alpha", [0.8, 0.99])
def test_a_certain_action_that_the_reference_all_but_excludes(alpha):
    q = torch.tensor([1e-12, 0.4, 0.6 - 1e-12], dtype=torch.float64)
    log_probs = f_log_softargmax(torch.tensor([30.0, 0.5, 0.0], dtype=torch.float64), Tsallis(alpha), 0.25, q)
    rest = log_probs[1:].exp().sum()
    torch.testing.assert_close(log_probs[0], torch.log1p(-rest), rtol=1e-9, atol=3e-16)


@given(
    x=st.lists(st.floats(-50, 50), min_size=2, max_size=9),
    shift=st.floats(-100, 100),
    temperature=st.floats(0.05, 20),
    d=st.sampled_from(DENSE + SPARSE),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_shift_invariance_monotonicity_and_permutation(x, shift, temperature, d):
    x = torch.tensor(x, dtype=torch.float64)
    probs = f_softargmax(x, d, temperature)
    assert abs(float(probs.sum()) - 1.0) < 1e-12
    torch.testing.assert_close(f_softargmax(x + shift, d, temperature), probs, rtol=1e-6, atol=1e-9)
    order = x.argsort()
    assert (probs[order].diff() >= -1e-15).all()
    torch.testing.assert_close(f_softargmax(x[order], d, temperature), probs[order], rtol=1e-9, atol=1e-15)


@given(
    x=st.lists(st.floats(-20, 20), min_size=2, max_size=12),
    alpha=st.floats(1.05, 3.0),
    temperature=st.floats(0.1, 10),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_agrees_with_entmax_above_one(x, alpha, temperature):
    x = torch.tensor(x, dtype=torch.float64)
    scaled = x / (temperature * len(x) ** (alpha - 1))
    theirs = entmax_bisect(scaled, alpha=alpha, n_iter=100)
    torch.testing.assert_close(f_softargmax(x, Tsallis(alpha), temperature), theirs, rtol=1e-8, atol=1e-9)


@each
def test_temperature_to_its_limits(d):
    x = torch.tensor([0.3, -1.0, 0.8, 0.79], dtype=torch.float64)
    torch.testing.assert_close(f_softargmax(x, d, 1e8, REFERENCE), REFERENCE, rtol=1e-6, atol=0)
    greedy = f_softargmax(x, d, 1e-9)
    torch.testing.assert_close(greedy, torch.tensor([0, 0, 1.0, 0], dtype=torch.float64), rtol=0, atol=1e-3)


def test_alpha_to_one_is_the_softmax():
    x = random_logits(50, 7, scale=3)
    for alpha in (1 - 1e-6, 1 - 1e-9, 1.0, 1 + 1e-9, 1 + 1e-6):
        torch.testing.assert_close(f_softargmax(x, Tsallis(alpha)), x.softmax(-1), rtol=1e-3, atol=1e-5)
    assert torch.equal(f_log_softargmax(x.float(), KL()), x.float().log_softmax(-1))


@each
def test_leading_shapes_dtypes_and_strides(d):
    x = random_logits(2, 3, 5)
    full = f_log_softargmax(x, d)
    torch.testing.assert_close(f_log_softargmax(x[1, 2], d), full[1, 2])
    torch.testing.assert_close(f_log_softargmax(x.transpose(0, 1), d), full.transpose(0, 1))
    assert f_log_softargmax(x[:0], d).shape == (0, 3, 5)
    half = x.bfloat16().requires_grad_()
    coarse = f_softargmax(half, d)
    assert coarse.dtype == torch.bfloat16
    torch.testing.assert_close(coarse.double(), f_softargmax(half.detach().double(), d), rtol=1e-2, atol=1e-2)
    (grad,) = torch.autograd.grad(coarse[..., 0].sum(), half)
    assert grad.dtype == torch.bfloat16 and torch.isfinite(grad).all()


@each_dense
def test_masks_of_minus_infinity_are_literal(d):
    x = random_logits(6, 5)
    x[:, 3] = -math.inf
    x.requires_grad_()
    log_probs = f_log_softargmax(x, d)
    assert (log_probs[:, 3] == -math.inf).all() and torch.isfinite(log_probs[:, :3]).all()
    (grad,) = torch.autograd.grad(log_probs[:, 0].sum(), x)
    assert torch.isfinite(grad).all() and (grad[:, 3] == 0).all()
    zero = torch.tensor([0.25, 0.25, 0.25, 0.0, 0.25])
    with_zero = f_log_softargmax(random_logits(6, 5), d, reference=zero)  # a zero of the reference is a mask, too
    assert (with_zero[:, 3] == -math.inf).all() and torch.isfinite(with_zero[:, 4]).all()


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_masked_operator_is_the_valid_uniform_head_at_another_temperature(alpha):
    x = random_logits(4, 6)
    x[:, 4:] = -math.inf
    d = Tsallis(alpha)
    literal = f_softargmax(x, d, 1.0)[:, :4]
    torch.testing.assert_close(literal, f_softargmax(x[:, :4], d, (4 / 6) ** (1 - alpha)))


@pytest.mark.parametrize("d", [Tsallis(0.3), Tsallis(0.9), Tsallis(1.5)], ids=str)
def test_traces_to_one_graph(d):
    torch._dynamo.reset()
    compiled = torch.compile(lambda z: f_log_softargmax(z, d), fullgraph=True, backend="eager")
    eager, traced = (random_logits(16, 5).requires_grad_() for _ in range(2))
    weights = random_logits(16, 5, seed=5)
    for z, function in ((eager, lambda z: f_log_softargmax(z, d)), (traced, compiled)):
        (function(z).clamp_min(-50) * weights).sum().backward()
    torch.testing.assert_close(compiled(traced), f_log_softargmax(eager, d))
    torch.testing.assert_close(traced.grad, eager.grad)
