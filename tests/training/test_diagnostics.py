"""What is logged: every metric has a place on the dashboard and the value that its definition gives."""

from __future__ import annotations

from typing import Any

import pytest
import stable_baselines3 as sb3
import torch

from agents import LCO, MDPO, PPO, REINFORCE, SPMA, TRPO
from agents.distributions import FSoftargmaxCategorical
from agents.geometry.divergences import Tsallis
from agents.objectives import PolicyGradient
from agents.training.dashboard import LAYOUT
from agents.training.diagnostics import Diagnostics, detailed_diagnostics
from agents.training.probes import HessianProbe, negative_curvature
from envs import make_vec

SMALL: dict[str, Any] = {"n_steps": 64, "batch_size": 32, "n_epochs": 3, "seed": 0, "device": "cpu"}
ALWAYS = {
    *("grad_norm", "approx_kl", "kl_new_old", "entropy", "min_prob", "support_size", "logit_norm"),
    *("negative_share", "head_divergence", "loss", "policy_gradient_loss", "value_loss", "explained_variance"),
}
OWN = {PPO: {"clip_fraction"}, SPMA: {"negative_target", "kl"}, MDPO: {"kl"}, LCO: set(), TRPO: set(), REINFORCE: set()}


def _trained(cls: Any, env_id: str = "CartPole-v1", budget: int = 256, **kwargs: Any) -> Any:
    return cls("MlpPolicy", make_vec(env_id, n_envs=2, seed=0), **SMALL | kwargs).learn(budget)


def _logged(model: Any) -> dict[str, float]:
    values = model.logger.name_to_value.items()
    return {name.removeprefix("train/"): value for name, value in values if name.startswith("train/")}


def _shown() -> set[str]:
    charts = (chart for group in LAYOUT.values() for chart in group.values())
    return {tag.removeprefix("train/") for _, tags in charts for tag in tags}


@pytest.mark.parametrize("cls", OWN)
def test_every_algorithm_logs_them_and_the_dashboard_shows_them(cls: Any) -> None:
    logged = _logged(_trained(cls, regularizer="kl", reg_coef=0.01))
    assert set(logged) >= ALWAYS | OWN[cls] | {"divergence"}
    assert ALWAYS | OWN[cls] | {"divergence", "negative_curvature"} <= _shown()
    assert 0 <= logged["negative_share"] <= 1
    assert logged["kl_new_old"] >= 0
    assert 0 < logged["min_prob"] <= 0.5


def test_both_kls_vanish_before_the_first_step_and_grow_alike() -> None:
    still = _logged(_trained(PPO, budget=128, n_epochs=1, batch_size=128))
    assert (still["approx_kl"], still["kl_new_old"]) == pytest.approx((0, 0), abs=1e-12)
    moved = _logged(_trained(PPO, budget=128, learning_rate=1e-2))
    assert moved["kl_new_old"] > 1e-3
    assert moved["kl_new_old"] == pytest.approx(moved["approx_kl"], rel=0.5)


def test_the_share_from_negative_advantages() -> None:
    """For -A log pi the gradient in the logits is A (pi - e_a)."""
    logits = torch.randn(32, 4, dtype=torch.float64, requires_grad=True)
    parameters = logits * 1.0  # not a leaf, as a network's output is none
    new = FSoftargmaxCategorical(parameters)
    actions, advantages = new.sample(), torch.randn(32, dtype=torch.float64)
    losses = PolicyGradient()(new, new, actions, advantages).loss
    found = detailed_diagnostics(new, advantages, losses, parameters)
    one_hot = torch.nn.functional.one_hot(actions, 4)
    norms = advantages.abs() * (torch.softmax(logits, -1) - one_hot).norm(dim=-1)
    expected = norms[advantages < 0].sum() / norms.sum()
    torch.testing.assert_close(found["negative_share"], expected.detach())
    losses.mean().backward()  # the graph is still there, and the gradient that of one backward pass
    torch.testing.assert_close(logits.grad, (new.probs.detach() - one_hot) * advantages.unsqueeze(-1) / 32)


def test_no_share_without_samples_to_share_it() -> None:
    zero = torch.zeros(8, 3, requires_grad=True)
    new = FSoftargmaxCategorical(zero * 1.0)
    losses = PolicyGradient()(new, new, torch.zeros(8), torch.zeros(8)).loss
    assert detailed_diagnostics(new, torch.zeros(8), losses, new.scores)["negative_share"] == 0
    dense = torch.randn(8, 3)
    losses = PolicyGradient()(new, new, torch.zeros(8), dense).loss
    assert "negative_share" not in detailed_diagnostics(new, dense, losses, new.scores)


def test_the_heads_own_divergence() -> None:
    head = {"head": "tsallis:0.5"}
    model = _trained(PPO, policy_kwargs=head, n_epochs=1, batch_size=128, budget=128)
    probs = model.policy.head(torch.as_tensor(model.rollout_buffer.behaviour.reshape(-1, 2))).probs
    expected = Tsallis(0.5).divergence(probs, None).mean().item()
    assert _logged(model)["head_divergence"] == pytest.approx(expected, rel=1e-3, abs=1e-9)
    assert "head_divergence" not in _logged(_trained(PPO, "Pendulum-v1"))


def test_the_detailed_ones_are_of_the_first_minibatch_of_each_pass() -> None:
    model, calls = _trained(PPO), []
    evaluate = model.evaluate

    def counting(batch: Any, detailed: bool = False) -> Any:
        calls.append(detailed)
        return evaluate(batch, detailed)

    model.evaluate = counting
    model.train()
    assert calls == [True, False, False, False] * 3


@pytest.mark.parametrize("match", ["kld", "mse", "log_cosh"])
@pytest.mark.parametrize("head", ["softmax", "tsallis:0.5", "tsallis:1.5"])
def test_lco_has_no_negative_curvature(match: str, head: str) -> None:
    for advantage in ("sampled", "dense"):
        kwargs = {"match": match, "advantage": advantage, "policy_kwargs": {"head": head}, "learning_rate": 1e-2}
        model = _trained(LCO, **kwargs)
        assert negative_curvature(model) == 0


def test_the_curvature_of_spma_is_the_sign_of_its_target() -> None:
    """(1/eta + A) times Fisher's matrix: the share of negative curvature is `negative_target` of the same batch."""
    model = _trained(SPMA, eta=1.5)
    with torch.no_grad():
        batch = next(model.rollout_buffer.get(shuffle=False))
        expected = model.evaluate(batch).metrics["negative_target"].mean().item()
    assert 0 < expected < 1
    assert negative_curvature(model, n_states=128) == expected


def test_the_curvature_of_ppo_with_two_actions_is_its_exact_map() -> None:
    """Convex iff A > 0 and pi(a) >= 1/2, or A < 0 and pi(a) <= 1/2; flat where clipped."""
    model = _trained(PPO, learning_rate=1e-2, n_epochs=10, clip_range=0.1)
    batch = next(model.rollout_buffer.get(shuffle=False))
    with torch.no_grad():
        new = model.policy.head(model.policy.evaluate(batch.observations)[0].double())
        old = model.policy.head(batch.behaviour.double())
        pi, ratio = new.log_prob(batch.actions).exp(), (new.log_prob(batch.actions) - old.log_prob(batch.actions)).exp()
    positive = model.scaled_advantages(batch) > 0
    active = torch.where(positive, ratio < 1.1, ratio > 0.9)
    expected = (active & torch.where(positive, pi < 0.5, pi > 0.5)).double().mean().item()
    assert 0 < expected < 1
    assert negative_curvature(model, n_states=128) == expected


@pytest.mark.parametrize("cls", [PPO, LCO])
def test_the_probe_logs_after_each_update_and_changes_nothing(cls: Any) -> None:
    dumped: list[dict[str, Any]] = []
    model = cls("MlpPolicy", make_vec("CartPole-v1", n_envs=2, seed=0), **SMALL)
    dump_logs = model.dump_logs

    def dump(iteration: int = 0) -> None:
        dumped.append(_logged(model))
        dump_logs(iteration)

    model.dump_logs = dump
    model.learn(384, callback=HessianProbe(n_states=64))
    assert ["negative_curvature" in values for values in dumped] == [False, True, True]
    plain = _trained(cls, budget=384)
    for ours, theirs in zip(model.policy.parameters(), plain.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_probe_takes_other_heads_too() -> None:
    for env_id, head in (("Pendulum-v1", "gaussian"), ("Pendulum-v1", "binned:5"), ("ProbeActionMultiBinary-v0", "js")):
        for cls in (PPO, REINFORCE):
            assert 0 <= negative_curvature(_trained(cls, env_id, policy_kwargs={"head": head}, n_epochs=1)) <= 1


def test_bad_probes() -> None:
    with pytest.raises(ValueError, match="n_states=1"):
        HessianProbe(n_states=1)
    with pytest.raises(ValueError, match="HessianProbe: A2C has no objective"):
        sb3.A2C("MlpPolicy", "CartPole-v1", device="cpu").learn(10, callback=HessianProbe())


def test_means_are_over_minibatches() -> None:
    diagnostics = Diagnostics()
    diagnostics.record({"a": torch.tensor([1.0, 3.0]), "b": torch.tensor(1.0)})
    diagnostics.record({"a": torch.tensor([5.0, 7.0])})
    assert diagnostics.means() == {"a": 4.0, "b": 1.0}
