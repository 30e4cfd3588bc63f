"""With one thread and one seed, two runs are the same to the last bit; schedules, to the last update."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agents import LCO, MDPO, PPO, REINFORCE, SPMA, TRPO
from agents.training.on_policy import OnPolicy
from envs import make_vec

SMALL: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "device": "cpu"}
RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "PPO": (PPO, {}),
    "PPO on tsallis:0.5": (PPO, {"policy_kwargs": {"head": "tsallis:0.5"}}),
    "PPO to a snapshot": (PPO, {"regularizer": "js", "reg_coef": 0.1, "reg_reference": "snapshot:1"}),
    "SPMA": (SPMA, {}),
    "SPMA with armijo": (SPMA, {"step": "armijo"}),
    "SPMA with eta auto": (SPMA, {"eta": "auto"}),
    "MDPO": (MDPO, {}),
    "LCO": (LCO, {}),
    "dense LCO": (LCO, {"advantage": "dense"}),
    "TRPO": (TRPO, {}),
    "REINFORCE": (REINFORCE, {}),
}


def _run(cls: Any, env_id: str, seed: int, **kwargs: Any) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
    """Weights and the optimiser's state at the end, and what was logged at each update but the time."""
    logged: list[dict[str, Any]] = []

    class Recorded(cls):
        def train(self) -> None:
            super().train()
            logged.append({k: v for k, v in self.logger.name_to_value.items() if not k.startswith("time/")})

    model = Recorded("MlpPolicy", make_vec(env_id, n_envs=2, seed=seed), seed=seed, **SMALL | kwargs).learn(192)
    moments = [value for state in model.policy.optimizer.state.values() for value in state.values()]
    return [*model.policy.state_dict().values(), *moments], logged


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("name", RUNS)
def test_two_runs_are_bit_identical(name: str, env_id: str) -> None:
    cls, kwargs = RUNS[name]
    if env_id == "Pendulum-v1":
        if kwargs.get("advantage") == "dense" or "regularizer" in kwargs:
            kwargs = {"policy_kwargs": {"head": "binned:5"}}
        elif "policy_kwargs" in kwargs:
            kwargs = {"policy_kwargs": {"head": "q_gaussian:0.5"}}
    (first, metrics), (second, again), (other, _) = (_run(cls, env_id, seed, **kwargs) for seed in (3, 3, 4))
    assert len(first) == len(second)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(metrics) == 3
    assert repr(metrics) == repr(again)  # the repr of a float is exact, and that of NaN equals itself
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def _schedule(cls: type[OnPolicy], name: str, budget: int, **kwargs: Any) -> list[float]:
    """The value of a scalar at each update of a run of `budget` steps, in rollouts of 64."""
    seen: list[float] = []

    class Recorded(cls):  # type: ignore[valid-type,misc]
        def train(self) -> None:
            super().train()
            seen.append(self.scalar(name).item())

    env = make_vec("CartPole-v1", n_envs=2, seed=0)
    model = Recorded("MlpPolicy", env, **SMALL, **kwargs).learn(budget)
    assert all(value.isfinite().all() for value in model.policy.state_dict().values())
    return seen


@pytest.mark.parametrize("budget", [256, 250, 193])
@pytest.mark.parametrize(
    ("cls", "name", "initial"),
    [
        (SPMA, "eta", 0.4),
        (MDPO, "eta", 1.0),
        (LCO, "beta", 2.0),
        (LCO, "beta_negative", 8.0),
        (PPO, "ent_coef", 0.1),
    ],
)
def test_scalars_of_the_update_never_reach_zero(cls: Any, name: str, initial: float, budget: int) -> None:
    """1 - (k - 1) / K over the K updates, the last of which a budget may leave unfilled."""
    seen = _schedule(cls, name, budget, **{name: f"lin_{initial:g}"})
    assert seen == pytest.approx([initial * (1 - k / 4) for k in range(4)])


def test_mdpo_anneals_as_in_its_paper() -> None:
    assert _schedule(MDPO, "eta", 200) == pytest.approx([1, 0.75, 0.5, 0.25])


@pytest.mark.parametrize("budget", [256, 250, 193])
@pytest.mark.parametrize("name", ["clip_range", "clip_range_high", "clip_range_vf"])
def test_clip_ranges_fall_with_progress_and_may_reach_zero(name: str, budget: int) -> None:
    seen = _schedule(PPO, name, budget, **{name: "lin_0.2"})
    assert seen == pytest.approx([0.2 * max(0, 1 - 64 * k / budget) for k in (1, 2, 3, 4)])
    assert seen[-1] == 0


def test_a_regulariser_fades_over_the_updates() -> None:
    seen = _schedule(PPO, "reg_coef", 250, regularizer="kl", reg_coef="lin_0.1", reg_where="both")
    assert seen == pytest.approx([0.1, 0.075, 0.05, 0.025])
