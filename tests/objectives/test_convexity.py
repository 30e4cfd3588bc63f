"""Where objectives are convex in the logits and where not: Hessians over random cases, and bounds on gradients."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from agents.distributions import FSoftargmaxCategorical
from agents.geometry.divergences import divergence_from_name
from agents.objectives import LCO, MDPO, SPMA, Objective, PPOClip
from agents.training.probes import hessians

DIVERGENCES = ("kl", "reverse_kl", "tsallis:0.3", "tsallis:0.5", "tsallis:1.5", "tsallis:2", "js", "chi2", "hellinger")
CASES = 10_000
SIZES = (2, 3, 5, 8)  # actions; CASES / 4 states of each


def _states(n_actions: int, spread: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Random logits, behaviour logits and dense advantages, [B, A] each, in float64."""
    shape = (CASES // len(SIZES), n_actions)
    scale = spread * torch.rand(shape[0], 1, dtype=torch.float64)
    z, z_old = (scale * torch.randn(shape, dtype=torch.float64) for _ in range(2))
    return z, z_old, 2 * torch.randn(shape, dtype=torch.float64)


def _hessians(
    objective: Objective, z: Tensor, z_old: Tensor, advantages: Tensor, actions: Tensor, name: str = "kl"
) -> Tensor:
    divergence = divergence_from_name(name)
    old = FSoftargmaxCategorical(z_old, divergence)
    return hessians(lambda x: objective(FSoftargmaxCategorical(x, divergence), old, actions, advantages).loss, z)


def _smallest(matrices: Tensor) -> Tensor:
    """The smallest eigenvalue of each, relative to the largest where that exceeds 1."""
    eigenvalues = torch.linalg.eigvalsh(matrices)
    return eigenvalues[:, 0] / eigenvalues[:, -1].clamp_min(1)


def _sampled(z_old: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
    """Actions [B] and their advantages [B]."""
    actions = torch.distributions.Categorical(logits=z_old).sample()
    return actions, advantages.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def test_hessians_are_those_of_torch_func() -> None:
    z, z_old, advantages = (x[:50] for x in _states(3))
    for objective in (SPMA(0.5), MDPO(0.5), LCO(1.0), LCO(1.0, "log_cosh")):
        found = _hessians(objective, z, z_old, advantages, advantages.argmax(-1))
        for i in range(0, 50, 10):
            old, row = FSoftargmaxCategorical(z_old[i : i + 1]), advantages[i : i + 1]

            loss = partial(_loss, objective, old, row)
            torch.testing.assert_close(found[i], torch.func.hessian(loss)(z[i]))


def _loss(objective: Objective, old: FSoftargmaxCategorical, advantages: Tensor, logits: Tensor) -> Tensor:
    return objective(FSoftargmaxCategorical(logits[None]), old, advantages.argmax(-1), advantages).loss[0]


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("dense", [True, False], ids=["dense", "sparse"])
def test_lco_kld_is_convex_under_every_head(name: str, dense: bool) -> None:
    """The Fenchel-Young loss: positive semi-definite at every state, with the constant vector in its kernel."""
    for n_actions in SIZES:
        z, z_old, advantages = _states(n_actions)
        actions, sampled = _sampled(z_old, advantages)
        matrices = _hessians(LCO(0.7), z, z_old, advantages if dense else sampled, actions, name)
        torch.testing.assert_close(matrices, matrices.mT, rtol=1e-7, atol=1e-9)
        assert _smallest(matrices).min() > -1e-12
        torch.testing.assert_close(matrices.sum(-1), torch.zeros_like(z), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_lco_mse_and_log_cosh_do_not_know_the_head(name: str) -> None:
    """mse: exactly 2/n times the identity. log_cosh: diagonal, in (0, 1/n]."""
    for n_actions in SIZES:
        z, z_old, advantages = _states(n_actions)
        actions, sampled = _sampled(z_old, advantages)
        for values in (advantages, sampled):
            mse = _hessians(LCO(0.7, "mse"), z, z_old, values, actions, name)
            identity = torch.eye(n_actions, dtype=torch.float64).expand_as(mse)
            torch.testing.assert_close(mse, identity * (2 / n_actions))
            curved = _hessians(LCO(0.7, "log_cosh"), z, z_old, values, actions, name)
            diagonal = curved.diagonal(dim1=-2, dim2=-1)
            torch.testing.assert_close(curved, torch.diag_embed(diagonal))
            assert diagonal.min() >= 0
            assert diagonal.max() <= 1 / n_actions + 1e-12


def test_spma_is_convex_exactly_where_its_target_is_a_distribution() -> None:
    """The sampled KL form is (1/eta + A) times Fisher's matrix: convex iff 1 + eta A >= 0. The target form always."""
    eta = 0.6
    for n_actions in SIZES:
        z, z_old, advantages = _states(n_actions)
        actions, sampled = _sampled(z_old, advantages)
        centred = advantages - (torch.softmax(z_old, -1) * advantages).sum(-1, keepdim=True)
        for values in (sampled, centred):
            assert _smallest(_hessians(SPMA(eta, form="target"), z, z_old, values, actions)).min() > -1e-12
        pi = torch.softmax(z, -1)
        fisher = torch.diag_embed(pi) - pi.unsqueeze(-1) * pi.unsqueeze(-2)
        expected = (1 / eta + sampled)[:, None, None] * fisher
        torch.testing.assert_close(_hessians(SPMA(eta), z, z_old, sampled, actions), expected)
        torch.testing.assert_close(_hessians(SPMA(eta), z, z_old, centred, actions), fisher / eta)


def test_ppo_counterexamples() -> None:
    """Indefinite, even negative, for A < 0; positive semi-definite for A > 0 at a probable action."""

    def eigenvalues(z: list[float], advantage: float) -> Tensor:
        logits = torch.tensor([z], dtype=torch.float64)
        values = torch.tensor([advantage], dtype=torch.float64)
        actions = torch.zeros(1, dtype=torch.long)
        return torch.linalg.eigvalsh(_hessians(PPOClip(0.2), logits, logits, values, actions))[0]

    negative = torch.tensor([-0.232, -0.0096, 0.0], dtype=torch.float64)
    torch.testing.assert_close(eigenvalues([0.5, 0.0, -0.5], -1.0), negative, rtol=0, atol=1e-3)
    convex = torch.tensor([0.0, 0.045, 0.111], dtype=torch.float64)
    torch.testing.assert_close(eigenvalues([3.0, 0.0, 0.0], 1.0), convex, rtol=0, atol=1e-3)


def test_the_exact_map_of_where_ppo_is_convex() -> None:
    """Where the clip is inactive: iff A > 0 and pi(a) >= 1/2, or two actions, A < 0 and pi(a) <= 1/2. Else flat."""
    negative_share = []
    for n_actions in SIZES:
        z_old, noise, advantages = _states(n_actions)
        z = z_old + 0.3 * noise
        actions, sampled = _sampled(z_old, advantages)
        matrices = _hessians(PPOClip(0.2), z, z_old, sampled, actions)
        pi, pi_old = (torch.softmax(x, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1) for x in (z, z_old))
        ratio = pi / pi_old
        active = torch.where(sampled > 0, ratio < 1.2, ratio > 0.8)
        assert not matrices[~active].any()
        eigenvalues = torch.linalg.eigvalsh(matrices[active])
        found = eigenvalues[:, 0] >= -1e-9 * eigenvalues.abs().amax(-1)
        expected = (sampled > 0) & (pi >= 0.5) | (sampled < 0) & (pi <= 0.5) & (n_actions == 2)
        decided = (pi[active] - 0.5).abs() > 1e-6
        assert torch.equal(found[decided], expected[active][decided])
        negative_share.append((~found).double().mean().item())
    assert min(negative_share) > 0.3  # neither side of the map is empty
    assert max(negative_share) < 0.95


def test_mdpo_is_not_convex() -> None:
    z, z_old, advantages = _states(5)
    actions, sampled = _sampled(z_old, advantages)
    for values in (advantages, sampled):
        assert (_smallest(_hessians(MDPO(0.6), z, z_old, values, actions)) < -1e-3).double().mean() > 0.2


@pytest.mark.parametrize("match", ["mse", "log_cosh", "kld"])
@pytest.mark.parametrize("spread", [0.1, 2.0, 20.0])
def test_the_gradient_vanishes_with_the_loss(match: str, spread: float) -> None:
    """Prop. 4.7 in the mean normalisation, over n actions and for the logits themselves (sigma = 1).

    mse: |g|^2 = 4 L / n. log_cosh: |g|^2 <= (1 - e^(-2 L)) / n. kld: |g|^2 <= L, sharper by 2 than Pinsker's bound,
    since g sums to zero and then |g|_2 <= |g|_1 / sqrt 2.
    """
    for n_actions in SIZES:
        z, z_old, advantages = _states(n_actions, spread)
        z.requires_grad_()
        old = FSoftargmaxCategorical(z_old)
        loss = LCO(0.7, match)(FSoftargmaxCategorical(z), old, old.mode, advantages).loss
        squared = torch.autograd.grad(loss.sum(), z)[0].square().sum(-1)
        loss = loss.detach()
        if match == "mse":
            torch.testing.assert_close(squared, 4 * loss / n_actions)
            continue
        bound = -torch.expm1(-2 * loss) / n_actions if match == "log_cosh" else loss
        assert (squared <= bound * (1 + 1e-9) + 1e-15).all()


def test_the_bounds_are_attained() -> None:
    """log_cosh: by equal residuals. kld: in the limit, by two actions around probability 1/2; so neither is loose."""
    z = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    for match, shift in (("log_cosh", [1.5, 1.5]), ("kld", [1e-3, -1e-3])):
        old = FSoftargmaxCategorical(torch.zeros(1, 2, dtype=torch.float64))
        advantages = torch.tensor([shift], dtype=torch.float64)
        loss = LCO(1.0, match)(FSoftargmaxCategorical(z), old, old.mode, advantages).loss
        squared = torch.autograd.grad(loss, z)[0].square().sum()
        bound = -torch.expm1(-2 * loss.detach()) / 2 if match == "log_cosh" else loss.detach()
        assert (squared / bound).item() == pytest.approx(1, rel=1e-5)
