"""With exact advantages and enough inner steps, objectives reach the iterates of their papers' tabular algorithms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from agents.distributions import FSoftargmaxCategorical
from agents.geometry import f_softargmax
from agents.geometry.divergences import divergence_from_name
from agents.objectives import LCO, MDPO, SPMA, Objective
from agents.training.probes import hessians

STATES, ACTIONS = 40, 4
TOLERANCE = {"rtol": 0, "atol": 1e-6}


def _problem(name: str = "kl", temperature: float = 1.0) -> tuple[FSoftargmaxCategorical, Tensor]:
    """A random old policy and its advantages [S, A], with sum_a pi A = 0 and |A| <= 1."""
    logits = temperature * torch.randn(STATES, ACTIONS, dtype=torch.float64)
    old = FSoftargmaxCategorical(logits, divergence_from_name(name), temperature)
    values = torch.rand(STATES, ACTIONS, dtype=torch.float64)
    return old, values - (old.probs * values).sum(-1, keepdim=True)


def _minimise(objective: Objective, old: FSoftargmaxCategorical, advantages: Tensor) -> Tensor:
    """The policy [S, A] at the end of the inner loop: L-BFGS, which stops at the rounding of the loss, then Newton."""
    logits = old.scores.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logits], 1, 150, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def policy(logits: Tensor) -> FSoftargmaxCategorical:
        return FSoftargmaxCategorical(logits, old.divergence, old.temperature)

    def losses(logits: Tensor) -> Tensor:
        return objective(policy(logits), old, old.mode, advantages).loss

    def closure() -> float:
        optimizer.zero_grad()
        loss = losses(logits).sum()
        loss.backward()
        return loss.item()

    optimizer.step(closure)
    for _ in range(15):
        (gradient,) = torch.autograd.grad(losses(logits).sum(), logits)
        inverse = torch.linalg.pinv(hessians(losses, logits), hermitian=True, rtol=1e-9)
        with torch.no_grad():
            logits -= (inverse @ gradient.unsqueeze(-1)).squeeze(-1)
    return policy(logits).probs.detach()


@pytest.mark.parametrize("form", ["kl", "target"])
@pytest.mark.parametrize("eta", [0.1, 0.9])
def test_spma(form: str, eta: float) -> None:
    """pi_old (1 + eta A)."""
    old, advantages = _problem()
    found = _minimise(SPMA(eta, form), old, advantages)
    torch.testing.assert_close(found, old.probs * (1 + eta * advantages), **TOLERANCE)


def test_spma_cuts_a_target_below_zero() -> None:
    """The target form takes max(0, 1 + eta A), renormalised; nothing of it is left where that is zero."""
    old, advantages = _problem()
    weights = (1 + 4 * advantages).clamp(min=0)
    assert (weights == 0).any()
    target = old.probs * weights
    found = _minimise(SPMA(4.0, "target"), old, advantages)
    torch.testing.assert_close(found, target / target.sum(-1, keepdim=True), **TOLERANCE)


@pytest.mark.parametrize("eta", [0.1, 1.0, 5.0])
def test_mdpo(eta: float) -> None:
    """pi_old exp(eta A) / Z."""
    old, advantages = _problem()
    found = _minimise(MDPO(eta), old, advantages)
    torch.testing.assert_close(found, torch.softmax(old.scores + eta * advantages, -1), **TOLERANCE)


@pytest.mark.parametrize("head", ["tsallis:0.5", "hellinger", "reverse_kl"])
def test_mirror_ascent_is_of_the_policy_not_of_its_head(head: str) -> None:
    """A head that reaches every distribution reaches the same iterates from the same old policy."""
    old, advantages = _problem(head)
    spma, mdpo = (_minimise(objective, old, advantages) for objective in (SPMA(0.5), MDPO(0.5)))
    torch.testing.assert_close(spma, old.probs * (1 + 0.5 * advantages), **TOLERANCE)
    tilted = old.probs * torch.exp(0.5 * advantages)
    torch.testing.assert_close(mdpo, tilted / tilted.sum(-1, keepdim=True), **TOLERANCE)


@pytest.mark.parametrize("match", ["kld", "mse", "log_cosh"])
def test_lco(match: str) -> None:
    """softmax(z_old + A / beta): with dense advantages the natural policy gradient of step 1 / beta."""
    old, advantages = _problem()
    found = _minimise(LCO(0.5, match), old, advantages)
    torch.testing.assert_close(found, torch.softmax(old.scores + advantages / 0.5, -1), **TOLERANCE)
    torch.testing.assert_close(found, _minimise(MDPO(2.0), old, advantages), **TOLERANCE)


@pytest.mark.parametrize("head", ["tsallis:0.5", "tsallis:1.5", "reverse_kl", "js", "chi2", "hellinger"])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_lco_on_any_head(head: str, temperature: float) -> None:
    """softargmax_f(z_old + temperature A / beta), a step of dual averaging."""
    old, advantages = _problem(head, temperature)
    found = _minimise(LCO(0.5), old, advantages)
    expected = f_softargmax(old.scores + temperature * advantages / 0.5, old.divergence, temperature)
    torch.testing.assert_close(found, expected, **TOLERANCE)


def test_sparse_advantages_move_the_sampled_action_alone() -> None:
    """Eq. 11: the target is softmax(z_old + A / beta at the sampled action)."""
    old, dense = _problem()
    sampled = dense.gather(-1, old.mode.unsqueeze(-1)).squeeze(-1)
    target = old.scores.scatter_add(-1, old.mode.unsqueeze(-1), sampled.unsqueeze(-1) / 0.5)
    torch.testing.assert_close(_minimise(LCO(0.5), old, sampled), torch.softmax(target, -1), **TOLERANCE)
