"""Schedules to the last update, and the range table of constructor arguments."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agents import PPO, SPMA
from agents.training.arguments import ARGUMENTS, check_arguments, check_batch
from agents.training.on_policy import OnPolicy
from agents.training.schedules import LinearSchedule, Scalar, is_linear

SMALL: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu"}


def _record(cls: type[OnPolicy], name: str, budget: int, **kwargs: Any) -> list[float]:
    """The value of a scheduled scalar at each update of a run."""
    seen: list[float] = []

    class Recorded(cls):  # type: ignore[valid-type,misc]
        def train(self) -> None:
            super().train()
            seen.append(self.scalar(name).item())

    Recorded("MlpPolicy", "CartPole-v1", **SMALL, **kwargs).learn(budget)
    return seen


@pytest.mark.parametrize("budget", [256, 250, 193])
def test_a_linear_clip_range_reaches_zero_as_in_sb3(budget: int) -> None:
    seen = _record(PPO, "clip_range", budget, clip_range="lin_0.2")
    assert seen == pytest.approx([0.2 * max(0, 1 - 64 * k / budget) for k in (1, 2, 3, 4)])


@pytest.mark.parametrize("budget", [256, 250, 193])
def test_a_linear_eta_never_reaches_zero(budget: int) -> None:
    assert _record(SPMA, "eta", budget, eta="lin_0.4") == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_a_callable_schedule_is_called_with_the_remaining_fraction() -> None:
    assert _record(SPMA, "eta", 128, eta=lambda fraction: 0.1 + fraction) == pytest.approx([1.1, 0.6])


def test_learning_rate_reads_linear_strings() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", learning_rate="lin_1e-3", **SMALL)
    model.learn(256)
    assert model.lr_schedule(0.5) == pytest.approx(5e-4)
    assert model.policy.optimizer.param_groups[0]["lr"] == 0.0


def test_linear_strings() -> None:
    assert LinearSchedule.parse("lin_3e-4")(0.5) == pytest.approx(1.5e-4)
    assert LinearSchedule(1.0)(-0.1) == 0.0
    assert not is_linear("foo_0.1")
    with pytest.raises(ValueError, match="lin_<number>"):
        LinearSchedule.parse("foo_0.1")
    with pytest.raises(ValueError, match="'x' is not a number"):
        LinearSchedule.parse("lin_x")
    scalar = Scalar("lin_2")
    tensor = scalar.tensor
    scalar.update(0.25)
    assert tensor.item() == 0.5


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("learning_rate", [0, -1e-3, math.nan, math.inf, "fast", None, "lin_0", "lin_-1"]),
        ("n_steps", [0, -5, 32.5, "8", None, math.inf]),
        ("batch_size", [0, -8, 1.5]),
        ("n_epochs", [0, True]),
        ("gamma", [1.5, -1, math.nan, "0.9"]),
        ("gae_lambda", [7, -0.1]),
        ("clip_range", [0, -1, "lin_-0.2"]),
        ("eta", [0, -1, math.inf]),
        ("ent_coef", [-0.1]),
        ("max_grad_norm", [0, -1]),
        ("target_kl", [0]),
        ("seed", [-5, 2**40, 0.5]),
        ("temperature", [0, -1]),
        ("normalize_advantage", [1, "yes"]),
    ],
)
def test_bad_values_name_the_argument(name: str, bad: list[object]) -> None:
    for value in bad:
        with pytest.raises(ValueError, match=f"^{name}=.*must be"):
            check_arguments({name: value})


def test_good_values_pass() -> None:
    check_arguments({"learning_rate": "lin_3e-4", "gamma": 1, "n_steps": 1e3, "max_grad_norm": None, "other": object()})
    check_arguments({"clip_range": lambda p: 0.2, "max_grad_norm": math.inf, "seed": 2**32 - 1, "gae_lambda": 0.0})
    assert "clip_range" in ARGUMENTS


def test_constructors_check_their_arguments() -> None:
    with pytest.raises(ValueError, match=r"gamma=1\.5: must be a number in \[0, 1\]"):
        PPO("MlpPolicy", "CartPole-v1", gamma=1.5)
    with pytest.raises(ValueError, match="eta=0"):
        SPMA("MlpPolicy", "CartPole-v1", eta=0)
    with pytest.raises(ValueError, match="batch_size=64 is larger than the rollout, n_steps x n_envs = 32 x 1"):
        PPO("MlpPolicy", "CartPole-v1", n_steps=32)
    with pytest.warns(UserWarning, match="batch_size=48 does not divide"):
        PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=48)
    with pytest.raises(ValueError, match="use_sde=True"):
        PPO("MlpPolicy", "Pendulum-v1", use_sde=True)
    with pytest.raises(TypeError, match="learning_rat"):
        PPO("MlpPolicy", "CartPole-v1", learning_rat=1e-3)
    with pytest.raises(ValueError, match="a rollout of one step"):
        check_batch(1, 1, 1, True)
    check_batch(1, 1, 1, False)
