"""Environments: our ids, and `make_vec`, which makes any Gymnasium id steppable by Stable-Baselines3 and by arrays.

Importing this package registers our ids and is cheap: what needs torch, Stable-Baselines3, ale_py or mujoco is loaded
on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .registration import register_envs

if TYPE_CHECKING:
    from .atari import protocol
    from .backends.arrays import StepArrays
    from .ids import check_env_kwargs, list_ids, resolve_id
    from .noise_wrappers import DelayedReward, ObservationNoise, RandomAction, RewardNoise, StickyActions
    from .normalize import VecNormalize
    from .vector import BACKENDS, make_vec

__all__ = [
    "BACKENDS",
    "DelayedReward",
    "ObservationNoise",
    "RandomAction",
    "RewardNoise",
    "StepArrays",
    "StickyActions",
    "VecNormalize",
    "check_env_kwargs",
    "list_ids",
    "make_vec",
    "protocol",
    "register_envs",
    "resolve_id",
]

_HOMES = {
    "BACKENDS": "vector",
    "DelayedReward": "noise_wrappers",
    "ObservationNoise": "noise_wrappers",
    "RandomAction": "noise_wrappers",
    "RewardNoise": "noise_wrappers",
    "StepArrays": "backends.arrays",
    "StickyActions": "noise_wrappers",
    "VecNormalize": "normalize",
    "check_env_kwargs": "ids",
    "list_ids": "ids",
    "make_vec": "vector",
    "protocol": "atari",
    "resolve_id": "ids",
}

register_envs()


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
