"""SB3's VecNormalize with an array step, refusing numbers that would spoil its statistics for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from .backends.arrays import KeepsInfos, Observations, StepArrays, steps_by_arrays
from .compiled import load_kernel
from .state import StatefulNormalizer


class NonFiniteError(ValueError, FloatingPointError):
    """A NaN or an infinity from an environment: a bad value to whoever passes it on, a numerical fault to a run."""


class VecNormalize(KeepsInfos, StatefulNormalizer):
    """Observations (o - mean) / sqrt(var + eps), rewards r / sqrt(var of the discounted return + eps), both clipped.

    Constructor, statistics and numbers are those of SB3's class, by `step` and by `step_arrays` alike; any VecEnv can
    be inside. The running statistics refuse NaN and infinities: ValueError naming the environment's index.
    """

    obs_rms: Any
    ret_rms: Any
    old_obs: Any
    _flat = False  # whether observations are arrays [N, D] of floats, which the kernel takes

    def __init__(self, venv: VecEnv, *args: Any, **kwargs: Any) -> None:
        super().__init__(venv, *args, **kwargs)
        space = venv.observation_space
        self._flat = isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype.char in "fd"

    def reset(self) -> Any:
        """Start N episodes; their first observations count in the statistics."""
        self.old_obs, self.returns = self.venv.reset(), np.zeros(self.num_envs)
        if self.training and self.norm_obs:
            self._update_observations(self.old_obs)
        return self._normalized(self.old_obs)

    def step_wait(self) -> VecEnvStepReturn:
        """SB3's (observations, rewards, dones, infos), by the code of the array step."""
        self.old_obs, self.old_reward, dones, infos = self.venv.step_wait()
        observations, rewards = self._normalize(self.old_obs, self.old_reward)
        for row in np.flatnonzero(dones).tolist():
            if "terminal_observation" in infos[row]:
                infos[row]["terminal_observation"] = self.normalize_obs(infos[row]["terminal_observation"])
        self.returns[dones] = 0
        return observations, rewards, dones, infos

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`. Last observations are normalised as the others are."""
        step = self._inner_step(actions)
        self.old_obs, self.old_reward = step.observations, step.rewards
        observations, rewards = self._normalize(step.observations, step.rewards)
        final = observations
        if step.final_observations is not step.observations and (ended := step.terminated | step.truncated).any():
            require_finite("last observation", step.final_observations)  # a value will be bootstrapped from it
            final = self._normalized(step.final_observations)
            self.returns[ended] = 0
        return StepArrays(observations, rewards, step.terminated, step.truncated, final, *step[5:])

    def step_infos(self, step: StepArrays) -> list[dict[str, Any]]:
        """SB3's infos [N] of the step just taken, with the last observations of `step`."""
        if steps_by_arrays(type(self.venv)):
            return self.venv.step_infos(step)  # type: ignore[attr-defined]
        return super().step_infos(step)

    def __getstate__(self) -> dict[str, Any]:
        """Without the infos of the last step, which may hold anything."""
        return {name: value for name, value in super().__getstate__().items() if name != "_infos"}

    def _inner_step(self, actions: np.ndarray) -> StepArrays:
        if steps_by_arrays(type(self.venv)):
            return self.venv.step_arrays(actions)  # type: ignore[attr-defined]
        return self._step_by_infos(self.venv, actions)

    def _normalize(self, observations: Any, rewards: np.ndarray) -> tuple[Any, np.ndarray]:
        """Update the statistics, then normalise by them: in one compiled call where possible, else by NumPy."""
        if self._flat and self.norm_obs and (kernel := load_kernel("normalize_kernel", "normalize_step")):
            normalized = self._by_kernel(kernel, observations, rewards)
            if normalized is not None:
                return normalized
        if self.training and self.norm_obs:
            self._update_observations(observations)
        if self.training:
            self._update_reward(rewards)
        return self._normalized(observations), self.normalize_reward(rewards)

    def _by_kernel(
        self, kernel: Callable[..., Any], observations: np.ndarray, rewards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """None if what somebody assigned to the statistics does not fit, or a number is not finite."""
        obs, ret, mean, var = self.obs_rms, self.ret_rms, self.obs_rms.mean, self.obs_rms.var
        if type(mean) is not np.ndarray or type(var) is not np.ndarray:
            return None
        shape = n, size = observations.shape
        moments, out, out_rewards = np.empty((2, size)), np.empty(shape, np.float32), np.empty(n, np.float32)
        fine, ret_mean, ret_var = kernel(
            observations,
            rewards,
            (mean, var, obs.count),
            (float(ret.mean), float(ret.var), ret.count),
            self.returns,
            moments,
            out,
            out_rewards,
            (self.gamma, self.epsilon, self.clip_obs, self.clip_reward),
            (self.training, self.norm_reward),
        )
        if not fine:
            return None
        if self.training:
            obs.mean, obs.var = moments[0], moments[1]
            ret.mean, ret.var = np.float64(ret_mean), np.float64(ret_var)
            obs.count, ret.count = obs.count + n, ret.count + n
        return out, out_rewards

    def _update_observations(self, observations: Observations) -> None:
        if isinstance(observations, dict):
            for key, rms in self.obs_rms.items():
                _take_in(rms, f"observation {key!r}", observations[key])
        else:
            _take_in(self.obs_rms, "observation", observations)

    def _update_reward(self, reward: np.ndarray) -> None:
        require_finite("reward", reward)
        returns = self.returns * self.gamma + reward
        _take_in(self.ret_rms, "discounted return", returns)
        self.returns = returns

    def _normalized(self, observations: Observations) -> Observations:
        """As `normalize_obs`, without its deep copy."""
        if not self.norm_obs:
            return observations
        if isinstance(observations, dict):
            return self.normalize_obs(observations)
        return self._normalize_obs(observations, self.obs_rms).astype(np.float32)


def _take_in(rms: RunningMeanStd, quantity: str, batch: np.ndarray) -> None:
    """`rms.update(batch)` [N, ...] to the bit, but for numbers that are not finite: NonFiniteError.

    It does without np.mean and np.var, whose overhead is half the cost of a small step.
    """
    require_finite(quantity, batch)
    n = len(batch)
    mean = np.add.reduce(batch, axis=0) / n
    deviation = batch - mean
    rms.update_from_moments(mean, np.add.reduce(deviation * deviation, axis=0) / n, n)


def require_finite(quantity: str, batch: Observations) -> None:
    """NonFiniteError naming the first row of [N, ...] that holds a NaN or an infinity."""
    if isinstance(batch, dict):
        for key, part in batch.items():
            require_finite(f"{quantity} {key!r}", part)
        return
    finite = np.isfinite(batch)
    if not finite.all():
        row = int(np.flatnonzero(~finite.reshape(len(batch), -1).all(axis=1))[0])
        raise NonFiniteError(f"{quantity} of environment {row} is not finite: {batch[row]}")
