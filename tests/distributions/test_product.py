"""Products of categoricals against a loop over their factors, and binned Box actions over them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, kl_divergence

from agents.distributions import BinnedBox, FSoftargmaxCategorical, ProductCategorical, clamped_log_prob
from agents.geometry import KL, JensenShannon, Tsallis

SIZES = (2, 5, 3)
GENERATORS = [KL(), Tsallis(0.3), Tsallis(0.9), Tsallis(1.5), JensenShannon()]
each = pytest.mark.parametrize("d", GENERATORS, ids=str)


def logits(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def loop(z, d, temperature, mask=None):
    masks = (None,) * len(SIZES) if mask is None else mask.split(SIZES, -1)
    return [
        FSoftargmaxCategorical(part, d, temperature, mask=m) for part, m in zip(z.split(SIZES, -1), masks, strict=True)
    ]


@each
@pytest.mark.parametrize("masked", [False, True])
def test_equals_a_loop_over_unequal_factors(d, masked):
    z, other = logits(7, 10).requires_grad_(), logits(7, 10, seed=1)
    mask = (torch.rand(7, 10, generator=torch.Generator().manual_seed(2)) < 0.6) if masked else None
    if mask is not None:
        mask[:, [0, 3, 8]] = True
    p, q = (ProductCategorical(x, SIZES, d, 0.7, mask) for x in (z, other))
    ps, qs = (loop(x, d, 0.7, mask) for x in (z, other))
    torch.manual_seed(0)
    actions = p.sample(torch.Size([200]))
    assert actions.shape == (200, 7, 3) and (actions < torch.tensor(SIZES)).all()
    for k, factor in enumerate(ps):
        assert torch.isfinite(factor.log_prob(actions[..., k])).all()
        assert torch.equal(p.mode[:, k], factor.mode)
        torch.testing.assert_close(p.scores[k], factor.scores)
    pairs = [
        (p.log_prob(actions[0]), sum(f.log_prob(actions[0, :, k]) for k, f in enumerate(ps))),
        (p.entropy(), sum(f.entropy() for f in ps)),
        (kl_divergence(p, q), sum(kl_divergence(a, b) for a, b in zip(ps, qs, strict=True))),
        (p.f_divergence(Tsallis(0.5)), sum(f.f_divergence(Tsallis(0.5)) for f in ps)),
        (p.f_divergence(KL(), q), sum(a.f_divergence(KL(), b) for a, b in zip(ps, qs, strict=True))),
        (p.divergence_to_reference(), sum(f.divergence_to_reference() for f in ps)),
        (p.fenchel_young(q), sum(a.fenchel_young(b) for a, b in zip(ps, qs, strict=True))),
        (
            p.tilted(logits(7, seed=3), actions[0]).entropy(),
            sum(f.tilted(logits(7, seed=3), actions[0, :, k]).entropy() for k, f in enumerate(ps)),
        ),
    ]
    for ours, loops in pairs:
        torch.testing.assert_close(ours, loops)
    totals = (sum(pair[i].sum() for pair in pairs[:4]) for i in (0, 1))
    torch.testing.assert_close(*(torch.autograd.grad(total, z, retain_graph=True)[0] for total in totals))
    assert p.diagnostics()["min_prob"].shape == (7,) and p.expand(torch.Size([2, 7])).entropy().shape == (2, 7)


def test_softmax_products_are_torchs():
    z = logits(6, 4)
    bits = ProductCategorical(torch.stack((torch.zeros_like(z), z), -1).flatten(-2), (2,) * 4)
    bernoulli, actions = Bernoulli(logits=z), torch.randint(2, (6, 4))
    torch.testing.assert_close(bits.log_prob(actions), bernoulli.log_prob(actions.double()).sum(-1))
    torch.testing.assert_close(bits.entropy(), bernoulli.entropy().sum(-1))
    pair = ProductCategorical(z, (2, 2))
    torch.testing.assert_close(pair.entropy(), Categorical(logits=z.view(6, 2, 2)).entropy().sum(-1))


def test_clamped_factor_by_factor():
    z = torch.tensor([[9.0, -90.0, 0.0, 0.0]], dtype=torch.float64)
    p, actions = ProductCategorical(z, (2, 2), Tsallis(1.5)), torch.tensor([[1, 0]])
    assert p.log_prob(actions) == -math.inf and not p.full_support
    torch.testing.assert_close(clamped_log_prob(p, actions).item(), math.log(1e-12) + math.log(0.5))


def test_bad_products_are_named():
    with pytest.raises(ValueError, match="logits of shape"):
        ProductCategorical(torch.zeros(2, 5), (2, 2))
    with pytest.raises(ValueError, match="mask of shape"):
        ProductCategorical(torch.zeros(2, 4), (2, 2), mask=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="mask: some state has no valid action"):
        ProductCategorical(torch.zeros(1, 4), (2, 2), mask=torch.tensor([[True, True, False, False]]))
    with pytest.raises(ValueError, match="target"):
        ProductCategorical(torch.zeros(1, 4), (2, 2)).fenchel_young(FSoftargmaxCategorical(torch.zeros(1, 4)))


LOW, HIGH = torch.tensor([-1.0, 0.0], dtype=torch.float64), torch.tensor([1.0, 5.0], dtype=torch.float64)


@each
def test_binned_actions_are_the_products_on_a_grid(d):
    z = logits(50, 2 * 11)
    box, bins = BinnedBox(z, LOW, HIGH, 11, d), ProductCategorical(z, (11, 11), d)
    torch.manual_seed(0)
    actions = box.sample()
    torch.manual_seed(0)
    index = bins.sample()
    torch.testing.assert_close(actions, LOW + index * (HIGH - LOW) / 10)
    assert (actions >= LOW).all() and (actions <= HIGH).all()
    torch.testing.assert_close(box.log_prob(actions), bins.log_prob(index))
    torch.testing.assert_close(box.log_prob(actions.float() + 1e-3), bins.log_prob(index))  # the nearest bin
    torch.testing.assert_close(box.entropy(), bins.entropy())
    other = BinnedBox(logits(50, 22, seed=1), LOW, HIGH, 11, d)
    torch.testing.assert_close(kl_divergence(box, other), kl_divergence(bins, other.bins))
    torch.testing.assert_close(box.f_divergence(KL(), other), bins.f_divergence(KL(), other.bins))
    torch.testing.assert_close(box.fenchel_young(other), bins.fenchel_young(other.bins))
    tilted = box.tilted(logits(50, seed=2), actions)
    torch.testing.assert_close(tilted.entropy(), bins.tilted(logits(50, seed=2), index).entropy())
    torch.testing.assert_close(tilted.mode, tilted.values(tilted.bins.mode))


def test_ordinal_parametrisation():
    z = logits(3, 8)
    up, down = torch.nn.functional.logsigmoid(z), torch.nn.functional.logsigmoid(-z)
    for dim in range(2):
        part = slice(4 * dim, 4 * dim + 4)
        want = torch.stack([up[:, part][:, : i + 1].sum(-1) + down[:, part][:, i + 1 :].sum(-1) for i in range(4)], -1)
        torch.testing.assert_close(BinnedBox(z, LOW, HIGH, 4, ordinal=True).scores[dim], want)


def test_bad_bins_are_named():
    with pytest.raises(ValueError, match="n_bins=1"):
        BinnedBox(torch.zeros(1, 2), LOW, HIGH, 1)
    with pytest.raises(ValueError, match="logits of shape"):
        BinnedBox(torch.zeros(1, 7), LOW, HIGH, 4)
    with pytest.raises(ValueError, match="target"):
        BinnedBox(torch.zeros(1, 8), LOW, HIGH, 4).fenchel_young(FSoftargmaxCategorical(torch.zeros(1, 8)))
