"""The categorical head: identities, masks, zeros of sparse generators, Fenchel-Young loss, tilt, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from agents.distributions import FSoftargmaxCategorical, clamped_log_prob
from agents.geometry import KL, ChiSquare, Hellinger, JensenShannon, ReverseKL, Tsallis, f_softargmax

DENSE = [KL(), ReverseKL(), JensenShannon(), Hellinger(), Tsallis(0.1), Tsallis(0.5), Tsallis(0.9)]
SPARSE = [ChiSquare(), Tsallis(1.5), Tsallis(2.0), Tsallis(3.0)]
each = pytest.mark.parametrize("d", DENSE + SPARSE, ids=str)
each_sparse = pytest.mark.parametrize("d", SPARSE, ids=str)
REFERENCE = torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15], dtype=torch.float64)


def logits(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_softmax_head_is_torchs_categorical():
    z = torch.randn(64, 6)
    ours, torchs = FSoftargmaxCategorical(z), Categorical(logits=z)
    actions = torchs.sample()
    torch.testing.assert_close(ours.log_prob(actions), torchs.log_prob(actions), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.entropy(), torchs.entropy(), rtol=1e-6, atol=1e-6)
    assert torch.equal(ours.mode, torchs.mode) and torch.equal(ours.log_prob(actions.float()), ours.log_prob(actions))
    torch.manual_seed(3)
    first = ours.sample()
    torch.manual_seed(3)
    assert torch.equal(first, torchs.sample())
    assert ours.sample(torch.Size([7, 2])).shape == (7, 2, 64)


@each
def test_entropy_and_kl_are_expectations(d):
    p = FSoftargmaxCategorical(logits(1, 5), d, 0.8, REFERENCE)
    q = FSoftargmaxCategorical(logits(1, 5, seed=1, scale=0.2), d, 0.8)
    torch.manual_seed(0)
    actions = p.sample(torch.Size([200_000]))
    log_p = p.log_prob(actions)
    assert torch.isfinite(log_p).all()
    torch.testing.assert_close(-log_p.mean(0), p.entropy(), rtol=0, atol=0.01)
    torch.testing.assert_close((log_p - q.clamped_log_prob(actions)).mean(0), kl_divergence(p, q), rtol=0, atol=0.02)
    assert kl_divergence(p, p).abs().max() < 1e-12
    frequency = torch.bincount(actions.flatten(), minlength=5) / actions.numel()
    torch.testing.assert_close(frequency, p.probs[0].float(), rtol=0, atol=0.01)
    if d.full_support:
        torch.testing.assert_close(p.f_divergence(KL(), q), kl_divergence(p, q))


@each
def test_divergences(d):
    p = FSoftargmaxCategorical(logits(8, 5), d, 1.3, REFERENCE)
    torch.testing.assert_close(p.divergence_to_reference(), d.divergence(p.probs, REFERENCE))
    torch.testing.assert_close(p.f_divergence(Tsallis(0.5)), Tsallis(0.5).divergence(p.probs))
    torch.testing.assert_close(p.f_divergence(KL()), math.log(5) - p.entropy())


@each
def test_masks_renormalise_the_reference(d):
    mask = torch.tensor([True, False, True, True, False])
    z = logits(300, 5).requires_grad_()
    for reference in (None, REFERENCE):
        p = FSoftargmaxCategorical(z, d, 0.7, reference, mask)
        valid = None if reference is None else reference[mask] / reference[mask].sum()
        torch.testing.assert_close(p.probs[:, mask], f_softargmax(z[:, mask], d, 0.7, valid))
        assert (p.probs[:, ~mask] == 0).all() and (p.log_probs[:, ~mask] == -math.inf).all()
        assert mask[p.sample(torch.Size([50]))].all() and mask[p.mode].all()
        q = FSoftargmaxCategorical(logits(300, 5, seed=2), d, 0.7, reference, mask)
        total = p.entropy() + kl_divergence(p, q) + kl_divergence(q, p) + p.f_divergence(ReverseKL())
        total = total + p.divergence_to_reference() + p.fenchel_young(q) + p.clamped_log_prob(p.mode)
        assert torch.isfinite(total).all()
        (grad,) = torch.autograd.grad(total.sum(), z)
        assert torch.isfinite(grad).all() and (grad[:, ~mask] == 0).all()
    per_state = torch.rand(300, 5) < 0.5
    per_state[:, 2] = True
    p = FSoftargmaxCategorical(z, d, mask=per_state)
    assert per_state.gather(1, p.sample().unsqueeze(1)).all()
    valid_uniform = per_state / per_state.sum(-1, keepdim=True, dtype=torch.float64)
    wanted = Tsallis(0.5).divergence(p.probs, valid_uniform)
    torch.testing.assert_close(p.f_divergence(Tsallis(0.5)), wanted, rtol=1e-12, atol=1e-14)


def test_log_prob_broadcasts_as_torchs():
    z = logits(3, 5)
    for batch, actions in ((z, torch.tensor([4])), (z[:1], torch.tensor([1, 2, 0])), (z, torch.tensor(2))):
        wanted = Categorical(logits=batch).log_prob(actions)
        torch.testing.assert_close(FSoftargmaxCategorical(batch).log_prob(actions), wanted)


@each_sparse
def test_zeros_of_sparse_heads(d):
    z = torch.tensor([[4.0, 3.9, -30.0]], dtype=torch.float64, requires_grad=True)
    p, lost = FSoftargmaxCategorical(z, d), torch.tensor([2])
    assert not p.full_support and p.probs[0, 2] == 0.0
    assert p.log_prob(lost) == -math.inf
    clamped = clamped_log_prob(p, lost)
    assert clamped.item() == pytest.approx(math.log(1e-12))
    (grad,) = torch.autograd.grad(clamped.sum(), z, retain_graph=True)
    assert (grad == 0).all()
    uniform = FSoftargmaxCategorical(torch.zeros(1, 3, dtype=torch.float64), d)
    forward, backward = kl_divergence(p, uniform), kl_divergence(uniform, p)
    torch.testing.assert_close(forward, math.log(3) - p.entropy())  # 0 log 0 = 0
    seen = (uniform.probs[:, :2] * (-math.log(3) - p.log_probs[:, :2])).sum(-1)
    torch.testing.assert_close(backward, seen + (-math.log(3) - math.log(1e-12)) / 3)  # a zero counts as 1e-12
    (grad,) = torch.autograd.grad((forward + backward + p.entropy() + p.f_divergence(ReverseKL())).sum(), z)
    assert torch.isfinite(grad).all() and grad[0, 2] == 0.0
    assert (p.sample(torch.Size([1000])) != 2).all()


def test_full_support_is_never_clamped():
    p = FSoftargmaxCategorical(torch.tensor([[0.0, 100.0]]))
    assert p.full_support and clamped_log_prob(p, torch.tensor([0])).item() == pytest.approx(-100.0)


@each
def test_fenchel_young_loss(d):
    z, temperature = logits(3, 4, scale=0.5).requires_grad_(), 0.6
    target = FSoftargmaxCategorical(logits(3, 4, seed=7, scale=0.5), d, temperature)
    loss = FSoftargmaxCategorical(z, d, temperature).fenchel_young(target)
    assert (loss > -1e-12).all()
    (grad,) = torch.autograd.grad(loss.sum(), z)
    torch.testing.assert_close(grad, FSoftargmaxCategorical(z, d, temperature).probs - target.probs)
    hessian = torch.autograd.functional.hessian(
        lambda row: FSoftargmaxCategorical(row, d, temperature).fenchel_young(
            FSoftargmaxCategorical(target.scores[0], d, temperature)
        ),
        z[0].detach(),
    )
    assert torch.linalg.eigvalsh(hessian).min() > -1e-12
    torch.testing.assert_close(target.fenchel_young(target), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
    soft, soft_target = FSoftargmaxCategorical(z, KL(), 0.6), FSoftargmaxCategorical(target.scores, KL(), 0.6)
    torch.testing.assert_close(soft.fenchel_young(soft_target), 0.6 * kl_divergence(soft_target, soft))


def test_fenchel_young_leaves_out_an_infinite_constant():
    sparse = FSoftargmaxCategorical(torch.tensor([[9.0, 0.0, 0.0]]), Tsallis(2.0))
    assert torch.isfinite(FSoftargmaxCategorical(torch.zeros(1, 3), ReverseKL()).fenchel_young(sparse)).all()


def test_tilt_adds_to_the_scores():
    z, advantages, actions = logits(2, 3), logits(2, seed=4), torch.tensor([2, 0])
    p = FSoftargmaxCategorical(z, Tsallis(0.5), 2.0)
    sparse, dense = p.tilted(advantages, actions), p.tilted(logits(2, 3, seed=5))
    expected = z.clone()
    expected[0, 2] += 2 * advantages[0]
    expected[1, 0] += 2 * advantages[1]
    torch.testing.assert_close(sparse.scores, expected)
    torch.testing.assert_close(dense.scores, z + 2 * logits(2, 3, seed=5))
    soft = FSoftargmaxCategorical(z, KL(), 2.0)
    tilted = soft.probs * logits(2, 3, seed=5).exp()
    torch.testing.assert_close(soft.tilted(logits(2, 3, seed=5)).probs, tilted / tilted.sum(-1, keepdim=True))
    with pytest.raises(ValueError, match="actions"):
        p.tilted(advantages)


def test_diagnostics_and_expand():
    p = FSoftargmaxCategorical(logits(4, 5, scale=9), Tsallis(1.5), mask=torch.tensor([True] * 4 + [False]))
    values = p.diagnostics()
    assert set(values) == {"min_prob", "support_size", "logit_norm"} and all(v.shape == (4,) for v in values.values())
    assert (values["support_size"] == (p.probs > 0).sum(-1)).all() and not any(v.requires_grad for v in values.values())
    wide = p.expand(torch.Size([3, 4]))
    torch.testing.assert_close(wide.probs, p.probs.expand(3, 4, 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(temperature=0.0), "temperature=0.0"),
        (dict(temperature=math.nan), "temperature=nan"),
        (dict(logits=torch.tensor([[0.0, math.nan, 0.0]])), "logits"),
        (dict(logits=torch.tensor([[0.0, math.inf, -math.inf]])), "logits"),
        (dict(logits=torch.tensor([[0.0, 1.0], [-math.inf, -math.inf]])), "logits: some state has -inf for every"),
        (dict(reference=torch.tensor([0.5, 0.5])), "reference of shape"),
        (dict(reference=torch.tensor([0.5, 0.4, 0.2])), "reference: smallest entry 0.2, sums from 1.1"),
        (dict(reference=torch.tensor([0.5, 0.5, 0.0])), "reference"),
        (dict(reference=torch.tensor([1.5, -0.25, -0.25])), "reference"),
        (dict(mask=torch.ones(2, 4, dtype=torch.bool)), "mask of shape"),
        (dict(mask=torch.tensor([[True, True, True], [False, False, False]]), logits=torch.zeros(2, 3)), "mask"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FSoftargmaxCategorical(**{"logits": torch.zeros(1, 3), **arguments})


def test_foreign_distributions_are_refused():
    p = FSoftargmaxCategorical(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="target"):
        p.fenchel_young(Categorical(logits=torch.zeros(1, 3)))
    with pytest.raises(ValueError, match="reference"):
        p.f_divergence(KL(), Categorical(logits=torch.zeros(1, 3)))


def test_compiles_to_one_graph():
    torch._dynamo.reset()

    def loss(z, actions):
        p = FSoftargmaxCategorical(z, Tsallis(0.5))
        return p.log_prob(actions) + 0.01 * p.entropy()

    z, actions = logits(8, 4), torch.arange(8) % 4
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(z, actions), loss(z, actions))
