"""SB3's VecNormalize with an array step, refusing numbers that would spoil its statistics for good."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv

from .backends.arrays import Observations, StepArrays, array_step
from .state import StatefulNormalizer


class NonFiniteError(ValueError, FloatingPointError):
    """A NaN or an infinity from an environment: a bad value to whoever passes it on, a numerical fault to a run."""


class VecNormalize(StatefulNormalizer):
    """Observations (o - mean) / sqrt(var + eps), rewards r / sqrt(var of the discounted return + eps), both clipped.

    Constructor, statistics and numbers are those of SB3's class, by `step` and by `step_arrays` alike; any VecEnv can
    be inside. The running statistics refuse NaN and infinities: ValueError naming the environment's index.
    """

    def __init__(self, venv: VecEnv, *args: Any, **kwargs: Any) -> None:
        super().__init__(venv, *args, **kwargs)
        if self.norm_obs:
            self.obs_rms: Any = (
                {key: FiniteMeanStd(f"observation {key!r}", rms.mean.shape) for key, rms in self.obs_rms.items()}
                if isinstance(self.obs_rms, dict)
                else FiniteMeanStd("observation", self.obs_rms.mean.shape)
            )
        self.ret_rms = FiniteMeanStd("discounted return", ())

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`. Last observations are normalised as the others are."""
        step = array_step(self.venv, actions)
        self.old_obs, self.old_reward = step.observations, step.rewards
        observations, rewards = self._normalize(step.observations, step.rewards)
        final = observations
        if step.final_observations is not step.observations and (ended := step.terminated | step.truncated).any():
            require_finite("last observation", step.final_observations)  # a value will be bootstrapped from it
            final = self._normalized(step.final_observations)
            self.returns[ended] = 0
        return step._replace(observations=observations, rewards=rewards, final_observations=final)

    def _normalize(self, observations: Any, rewards: np.ndarray) -> tuple[Any, np.ndarray]:
        """Update the statistics, then normalise by them: compiled where Numba is installed, else by NumPy."""
        kernel = _kernel()
        if kernel is not None and self._fits_kernel(observations):
            return self._by_kernel(kernel, observations, rewards)
        if self.training and self.norm_obs:
            self._update_observations(observations)
        if self.training:
            self._update_reward(rewards)
        return self._normalized(observations), self.normalize_reward(rewards)

    def _fits_kernel(self, observations: Any) -> bool:
        """Whether observations and their statistics are plain arrays [N, D] and [D] of floats, which all go in."""
        if not self.norm_obs or not isinstance(observations, np.ndarray) or observations.dtype.char not in "fd":
            return False
        mean, var = self.obs_rms.mean, self.obs_rms.var  # anybody may have assigned anything to them
        return observations.ndim == 2 and all(
            isinstance(moment, np.ndarray) and moment.dtype.char == "d" and moment.shape == observations.shape[1:]
            for moment in (mean, var)
        )

    def _by_kernel(
        self, kernel: ModuleType, observations: np.ndarray, rewards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        (n, size), obs = observations.shape, self.obs_rms
        ret: Any = self.ret_rms
        moments, out = np.empty((2, size)), np.empty((n, size), np.float32)
        out_rewards = np.empty(n, np.float32)
        outcome, ret_mean, ret_var = kernel.normalize_step(
            observations,
            rewards,
            (obs.mean, obs.var, float(obs.count)),
            (float(ret.mean), float(ret.var), float(ret.count)),
            self.returns,
            moments,
            out,
            out_rewards,
            (float(self.gamma), float(self.epsilon), float(self.clip_obs), float(self.clip_reward)),
            (bool(self.training), bool(self.norm_reward)),
        )
        if outcome == kernel.NOT_FINITE:
            require_finite("observation", observations)
            require_finite("reward", rewards)
            require_finite("discounted return", self.returns * self.gamma + rewards)
        if self.training:
            obs.mean, obs.var = moments
            ret.mean, ret.var = np.float64(ret_mean), np.float64(ret_var)
            obs.count, ret.count = obs.count + n, ret.count + n
        return out, out_rewards

    def _update_observations(self, observations: Observations) -> None:
        if isinstance(observations, dict):
            for key, rms in self.obs_rms.items():
                rms.update(observations[key])
        else:
            self.obs_rms.update(observations)

    def _update_reward(self, reward: np.ndarray) -> None:
        require_finite("reward", reward)
        super()._update_reward(reward)

    def _normalized(self, observations: Observations) -> Observations:
        """As `normalize_obs`, without its deep copy."""
        if not self.norm_obs:
            return observations
        if isinstance(observations, dict):
            return self.normalize_obs(observations)
        return self._normalize_obs(observations, self.obs_rms).astype(np.float32)


@functools.cache
def _kernel() -> ModuleType | None:
    """The compiled step, if Numba is installed."""
    try:
        from . import normalize_kernel
    except ImportError:
        return None
    return normalize_kernel


class FiniteMeanStd(RunningMeanStd):
    """SB3's running mean and variance, which refuses a batch [N, ...] with a NaN or an infinity in it."""

    def __init__(self, quantity: str, shape: tuple[int, ...]) -> None:
        super().__init__(shape=shape)
        self.quantity = quantity

    def update(self, arr: np.ndarray) -> None:
        """Take in a batch. NonFiniteError naming the first environment whose row is not finite."""
        require_finite(self.quantity, arr)
        # The arithmetic of np.mean and np.var to the bit, without their overhead: half the cost of a small step.
        n = len(arr)
        mean = np.add.reduce(arr, axis=0) / n
        deviation = arr - mean
        self.update_from_moments(mean, np.add.reduce(deviation * deviation, axis=0) / n, n)


def require_finite(quantity: str, batch: Observations) -> None:
    """ValueError naming the first row of [N, ...] that holds a NaN or an infinity."""
    if isinstance(batch, dict):
        for key, part in batch.items():
            require_finite(f"{quantity} {key!r}", part)
        return
    finite = np.isfinite(batch)
    if not finite.all():
        row = int(np.flatnonzero(~finite.reshape(len(batch), -1).all(axis=1))[0])
        raise NonFiniteError(f"{quantity} of environment {row} is not finite: {batch[row]}")
