"""Losses and gradients against an independent high-precision reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from agents.distributions import FSoftargmaxCategorical
from agents.geometry.divergences import Divergence, divergence_from_name
from agents.objectives import LCO, MDPO, SPMA, PolicyGradient, PPOClip, Regularizer, TrustRegion

CASES = json.loads((Path(__file__).parent.parent / "golden" / "cases.json").read_text())["cases"]


def _cases(*losses: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in CASES if case.get("loss") in losses]


def _tensor(values: list[str]) -> Tensor:
    return torch.tensor([[float.fromhex(value) for value in values]], dtype=torch.float64)


def _number(value: str) -> float:
    return float.fromhex(value)


def _divergence(case: dict[str, Any]) -> Divergence:
    names = {"kl": "kl", "rkl": "reverse_kl", "js": "js", "chi2": "chi2", "hellinger": "hellinger"}
    return divergence_from_name(names.get(case["gen"]) or f"tsallis:{_number(case['alpha'])!r}")


def _check(case: dict[str, Any], loss: Tensor, logits: Tensor) -> None:
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    expected = torch.tensor([[float(g) for g in case["out"]["grad"]]], dtype=torch.float64)
    torch.testing.assert_close(loss.item(), float(case["out"]["value"]), rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-14)


def _pair(case: dict[str, Any]) -> tuple[Tensor, FSoftargmaxCategorical, FSoftargmaxCategorical, Tensor, Tensor]:
    logits = _tensor(case["z"]).requires_grad_()
    new, old = FSoftargmaxCategorical(logits), FSoftargmaxCategorical(_tensor(case["z_old"]))
    dense = isinstance(case["A"], list)
    advantages = _tensor(case["A"]) if dense else torch.tensor([_number(case["A"])], dtype=torch.float64)
    return logits, new, old, torch.tensor([case.get("a", 0)]), advantages


@pytest.mark.parametrize("case", _cases("ppo_clip", "ppo_clip_f"))
def test_ppo_clip(case: dict[str, Any]) -> None:
    logits, new, old, actions, advantages = _pair(case)
    loss = PPOClip(_number(case["eps_lo"]), _number(case["eps_hi"]))(new, old, actions, advantages).loss
    if case["loss"] == "ppo_clip_f":
        loss = loss + _number(case["lam"]) * new.f_divergence(_divergence(case), _tensor(case["ref"]))
    _check(case, loss, logits)


@pytest.mark.parametrize("case", _cases("f_penalty"))
def test_divergence_penalty(case: dict[str, Any]) -> None:
    logits = _tensor(case["z"]).requires_grad_()
    divergence = _divergence(case)
    _check(case, FSoftargmaxCategorical(logits).f_divergence(divergence, _tensor(case["ref"])), logits)
    if len({*case["ref"]}) == 1:
        _check(case, Regularizer(divergence, 0.5).penalty(FSoftargmaxCategorical(logits)) / 0.5, logits)


@pytest.mark.parametrize("case", _cases("reinforce"))
def test_policy_gradient(case: dict[str, Any]) -> None:
    logits = _tensor(case["z"]).requires_grad_()
    new, advantages = FSoftargmaxCategorical(logits), torch.tensor([_number(case["A"])], dtype=torch.float64)
    _check(case, PolicyGradient()(new, new, torch.tensor([case["a"]]), advantages).loss, logits)


@pytest.mark.parametrize("case", _cases("spma_kl_form", "spma_sampled", "spma_full"))
def test_spma(case: dict[str, Any]) -> None:
    """An importance weight w multiplies the advantage in the KL form, the whole loss in the target form."""
    logits, new, old, actions, advantages = _pair(case)
    eta, weight = _number(case["eta"]), _number(case.get("w", "0x1p+0"))
    if case["loss"] == "spma_kl_form":
        _check(case, SPMA(eta)(new, old, actions, weight * advantages).loss, logits)
    else:
        _check(case, weight * eta * SPMA(eta, form="target")(new, old, actions, advantages).loss, logits)


@pytest.mark.parametrize("case", _cases("mdpo_full", "mdpo_sampled"))
def test_mdpo(case: dict[str, Any]) -> None:
    logits, new, old, actions, advantages = _pair(case)
    weight = _number(case.get("w", "0x1p+0"))
    _check(case, MDPO(_number(case["eta"]))(new, old, actions, weight * advantages).loss, logits)


@pytest.mark.parametrize("case", _cases("lco_mse", "lco_lch", "lco_kld"))
def test_lco(case: dict[str, Any]) -> None:
    logits, new, old, actions, advantages = _pair(case)
    match = {"lco_mse": "mse", "lco_lch": "log_cosh", "lco_kld": "kld"}[case["loss"]]
    _check(case, LCO(_number(case["beta"]), match)(new, old, actions, advantages).loss, logits)


def test_scheduled_scalars_are_read_at_the_call() -> None:
    """An objective built once around a 0-d tensor follows it."""
    _, new, old, actions, advantages = _pair(_cases("spma_kl_form")[0].values[0])
    eta = torch.tensor(0.3, dtype=torch.float64)
    objective = SPMA(eta)
    before = objective(new, old, actions, advantages).loss
    eta.fill_(0.7)
    assert torch.equal(objective(new, old, actions, advantages).loss, SPMA(0.7)(new, old, actions, advantages).loss)
    assert not torch.equal(before, SPMA(0.7)(new, old, actions, advantages).loss)


@pytest.mark.parametrize(
    "objective",
    [
        PPOClip(0.2),
        SPMA(0.5),
        SPMA(0.5, kl="sampled"),
        MDPO(0.5),
        MDPO(0.5, kl="sampled"),
        TrustRegion(),
        TrustRegion(0.5),
        PolicyGradient(),
    ],
    ids=repr,
)
def test_at_the_old_policy_the_gradient_is_the_policy_gradient(objective: Any) -> None:
    """r = 1 and the KL is at its minimum: only -A grad log pi is left."""
    torch.manual_seed(0)
    logits = torch.randn(64, 5, dtype=torch.float64, requires_grad=True)
    new, old = FSoftargmaxCategorical(logits), FSoftargmaxCategorical(logits.detach())
    actions, advantages = old.sample(), torch.randn(64, dtype=torch.float64)
    (found,) = torch.autograd.grad(objective(new, old, actions, advantages).loss.sum(), logits)
    log_probs = FSoftargmaxCategorical(logits).log_prob(actions)
    (expected,) = torch.autograd.grad(-(advantages * log_probs).sum(), logits)
    torch.testing.assert_close(found, expected)


def test_sampled_kl_is_unbiased() -> None:
    """The estimator of the released loss has the exact KL as its mean over old's actions."""
    torch.manual_seed(0)
    new, old = (FSoftargmaxCategorical(torch.randn(1, 4, dtype=torch.float64).expand(200_000, 4)) for _ in range(2))
    actions, zero = old.sample(), torch.zeros(200_000, dtype=torch.float64)
    exact = SPMA(1.0)(new, old, actions, zero).loss[0]
    sampled = SPMA(1.0, kl="sampled")(new, old, actions, zero).loss
    assert abs(sampled.mean() - exact) < 5 * sampled.std() / len(sampled) ** 0.5


def test_metrics() -> None:
    _, new, old, actions, _ = _pair(_cases("spma_kl_form")[0].values[0])
    advantages = torch.tensor([-3.0], dtype=torch.float64)
    assert SPMA(0.5)(new, old, actions, advantages).metrics["negative_target"].item() == 1
    assert SPMA(0.3)(new, old, actions, advantages).metrics["negative_target"].item() == 0
    assert PPOClip(10.0)(new, old, actions, advantages).metrics["clip_fraction"].item() == 0
    assert PPOClip(1e-9)(new, old, actions, advantages).metrics["clip_fraction"].item() == 1


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="kl='exakt'"):
        SPMA(0.5, kl="exakt")
    with pytest.raises(ValueError, match="reg_where='los'"):
        Regularizer(divergence_from_name("kl"), 0.1, where="los")
    with pytest.raises(ValueError, match="match='mae'"):
        LCO(1.0, match="mae")
