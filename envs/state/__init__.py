"""Environments whose state is a value: saved, put into any format for JSON and arrays, and gone on with elsewhere."""

from __future__ import annotations

from .environment import load_env, save_env
from .normalizer import StatefulNormalizer
from .plain import UnsavedError
from .storage import flatten, unflatten
from .vec_env import StatefulBatch, StatefulEnvs, StatefulVecEnv
from .worker import StatefulProcesses

__all__ = [
    "StatefulBatch",
    "StatefulEnvs",
    "StatefulNormalizer",
    "StatefulProcesses",
    "StatefulVecEnv",
    "UnsavedError",
    "flatten",
    "load_env",
    "save_env",
    "unflatten",
]
