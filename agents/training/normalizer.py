"""The statistics of a VecNormalize as plain values, so that they travel with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from .safe_zip import CheckpointError

SETTINGS = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs_keys")


@dataclass(frozen=True)
class NormalizerState:
    """Settings (JSON) and running moments (arrays) of a VecNormalize."""

    settings: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, env: VecNormalize) -> NormalizerState:
        """What `env` has learnt so far."""
        settings = {name: getattr(env, name) for name in SETTINGS}
        arrays: dict[str, np.ndarray] = {}
        for name, moments in _moments(env).items():
            # Copies: the running moments go on changing while a checkpoint is kept in memory.
            arrays |= {f"{name}/{key}": np.array(getattr(moments, key), np.float64) for key in ("mean", "var", "count")}
        return cls(settings, arrays)

    def restore(self, env: VecNormalize) -> None:
        """Put the moments into `env`.

        Raises:
            CheckpointError: if they are of other observations, or of another kind of normalisation.
        """
        for name in ("norm_obs", "norm_reward"):
            if getattr(env, name) != self.settings[name] and not (name == "norm_reward" and not env.training):
                raise CheckpointError(
                    f"normaliser: the checkpoint has {name}={self.settings[name]}, the environment {getattr(env, name)}"
                )
        moments = _moments(env)
        expected = {
            f"{name}/{key}": np.shape(getattr(m, key))
            for name, m in moments.items()
            for key in ("mean", "var", "count")
        }
        found = {name: array.shape for name, array in self.arrays.items()}
        if expected != found:
            raise CheckpointError(f"normaliser: statistics of shapes {found} don't fit the environment's {expected}")
        for name, m in moments.items():
            m.mean, m.var = (self.arrays[f"{name}/{key}"].copy() for key in ("mean", "var"))
            m.count = float(self.arrays[f"{name}/count"])

    def attach(self, env: VecEnv) -> VecEnv:
        """`env` with these statistics: put into its VecNormalize, or wrapped in a new one."""
        inner: VecEnv | None = env
        while inner is not None:
            if isinstance(inner, VecNormalize):
                self.restore(inner)
                return env
            inner = getattr(inner, "venv", None)
        wrapped = VecNormalize(env, **self.settings)
        self.restore(wrapped)
        return wrapped


def _moments(env: VecNormalize) -> dict[str, RunningMeanStd]:
    moments = {"reward": env.ret_rms}
    if env.norm_obs:
        by_key = env.obs_rms if isinstance(env.obs_rms, dict) else {"": env.obs_rms}
        moments |= {f"observation/{key}": value for key, value in by_key.items()}
    return moments
