"""Runs of a few steps on either engine, with functions for the events of a callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from stable_baselines3.common.callbacks import (
    BaseCallback,
)

import envs
from agents import PPO

ENGINES = "torch", "fused"
SMALL: dict[str, Any] = {"n_steps": 24, "batch_size": 12, "n_epochs": 2, "seed": 0, "device": "cpu"}


def frozen(_: float) -> float:
    """A learning rate."""
    return 0.0


class Calls(BaseCallback):
    """Functions of the callback for its events."""

    def __init__(self, **events: Callable[[Any], Any]) -> None:
        super().__init__()
        self.events = events

    def call(self, event: str) -> None:
        if event in self.events:
            self.events[event](self)

    def _on_training_start(self) -> None:
        self.call("start")

    def _on_rollout_start(self) -> None:
        self.call("rollout")

    def _on_rollout_end(self) -> None:
        self.call("rollout_end")

    def _on_step(self) -> bool:
        self.call("step")
        return True


def model_of(engine: str, env: Any = "CartPole-v1", cls: type[PPO] = PPO, **options: Any) -> PPO:
    venv = envs.make_vec(env, 2, seed=0) if isinstance(env, str) else env
    return cls("MlpPolicy", venv, engine=engine, **SMALL | options)


def weights(model: PPO) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])
