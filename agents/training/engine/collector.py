"""Collecting a rollout without torch in the loop: actor and sampler on arrays, the critic once at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.vec_env import VecEnv

from ..rollouts import Observations, RolloutBuffer, Stepper, Transition
from .flat import FlatParameters
from .sampling import Sampler
from .trunk import Trunk

if TYPE_CHECKING:
    from ..on_policy import OnPolicy


@dataclass(frozen=True)
class Collector:
    """Fills a rollout as `OnPolicy.collect_rollouts` does, with actions from NumPy's generator instead of torch's.

    What a rollout needs of the critic, the values of all states and of the true last observations of truncated
    episodes, is one batch at the end: the weights do not change in between. Callbacks that listen to steps are called
    at each; their locals lack `values` and `log_probs`, which are not known yet.
    """

    trunk: Trunk
    sampler: Sampler
    flat: FlatParameters

    def __call__(
        self, model: OnPolicy, env: VecEnv, callback: BaseCallback, buffer: RolloutBuffer, n_steps: int
    ) -> bool:
        """n_steps of each environment; False if a callback stopped training.

        Raises:
            FloatingPointError: if the network's output is not finite.
        """
        buffer.reset()
        callback.on_rollout_start()
        self.flat.mend()  # weights may have been replaced
        take_step, listened = Stepper(env), listens(callback)
        noise = self.sampler.noise(n_steps, env.num_envs)
        truncations: list[tuple[int, np.ndarray, np.ndarray]] = []
        assert model._last_obs is not None
        observations: Observations = model._last_obs
        for n in range(n_steps):
            parameters = self.trunk.actor(_rows(buffer.observe(observations)))
            if not math.isfinite(np.vdot(parameters, parameters)):
                raise FloatingPointError(
                    "the policy network's output is not finite: observations or weights hold NaN or inf"
                )
            executed = self.sampler(parameters, noise[n], buffer.actions[n])
            transition = take_step(executed)
            buffer.record(parameters, transition)
            observations = transition.observations
            model.num_timesteps += env.num_envs
            model.record_episodes(transition)
            if transition.truncated.any():
                rows = np.flatnonzero(transition.truncated)
                truncations.append((n, rows, _rows(transition.final_observations)[rows]))
            if listened and not self._on_step(model, callback, transition, executed):
                model._last_obs = observations
                return False
        model._last_obs = observations
        model._last_episode_starts = transition.dones
        self._add_values(buffer, truncations)
        model.compute_advantages(buffer, self.trunk.critic(_rows(observations)))
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    @staticmethod
    def _on_step(model: OnPolicy, callback: BaseCallback, transition: Transition, actions: np.ndarray) -> bool:
        callback.update_locals(
            {
                "self": model,
                "env": model.env,
                "actions": actions,
                "clipped_actions": actions,
                "new_obs": transition.observations,
                "rewards": transition.rewards,
                "dones": transition.dones,
                "infos": transition.step_infos(),
            }
        )
        return callback.on_step()

    def _add_values(self, buffer: RolloutBuffer, truncations: list[tuple[int, np.ndarray, np.ndarray]]) -> None:
        assert isinstance(buffer.observations, np.ndarray)
        states = _rows(buffer.observations.reshape(-1, *buffer.observations.shape[2:]))
        buffer.values[:] = self.trunk.critic(states).reshape(buffer.values.shape)
        if truncations:
            values = self.trunk.critic(np.concatenate([final for _, _, final in truncations]))
            steps = np.concatenate([np.full(len(rows), n) for n, rows, _ in truncations])
            buffer.next_values[steps, np.concatenate([rows for _, rows, _ in truncations])] = values


def listens(callback: BaseCallback) -> bool:
    """Whether a callback wants to hear of each step; SB3's stand-in for no callback does not."""
    if isinstance(callback, CallbackList):
        return any(listens(child) for child in callback.callbacks)
    return not (isinstance(callback, ConvertCallback) and callback.callback is None)


def _rows(observations: Observations) -> np.ndarray:
    """[N, ...] as [N, D] float32."""
    assert isinstance(observations, np.ndarray)
    return np.asarray(observations.reshape(len(observations), -1), np.float32)
