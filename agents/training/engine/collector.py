"""Collecting a rollout without torch in the loop: actor and sampler on arrays, the critic once at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from ...policies.actor_critic import check_finite
from ..listeners import is_quiet, listens
from ..rollouts import RolloutBuffer
from ..stepper import Observations, Stepper
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
    at each, before it is recorded; if they are not quiet they find its locals, `values` None, for not known yet.
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
        self.flat.mend()  # weights may have been replaced
        take_step, listened, curious = Stepper(env), listens(callback), not is_quiet(callback)
        common = {"self": model, "env": env, "callback": callback, "rollout_buffer": buffer, "n_rollout_steps": n_steps}
        noise = self.sampler.noise(n_steps, env.num_envs)
        truncations: list[tuple[int, np.ndarray, np.ndarray]] = []
        for n in range(n_steps):
            assert model._last_obs is not None
            parameters = self.trunk.actor(_rows(buffer.observe(model._last_obs)))
            if not math.isfinite(np.vdot(parameters, parameters)):  # a square may be too large, what is squared not
                check_finite(parameters.sum(dtype=np.float64))
            executed = self.sampler(parameters, noise[n], buffer.actions[n])
            transition = take_step(executed)
            dones = transition.dones
            ended = bool(np.count_nonzero(dones))
            model.num_timesteps += env.num_envs
            infos = take_step.infos(transition, curious or ended)
            if curious:
                actions = buffer.actions[n].reshape(executed.shape).copy()
                acted = {"n_steps": n, "actions": actions, "clipped_actions": executed, "values": None}
                seen = {"new_obs": transition.observations, "rewards": transition.rewards, "dones": dones}
                callback.update_locals(common | acted | seen | {"infos": infos})
            if listened and not callback.on_step():
                return False
            if curious:
                buffer.actions[n] = actions.reshape(buffer.actions[n].shape)
            model._update_info_buffer(infos, dones)
            buffer.record(parameters, transition)
            model._last_obs, model._last_episode_starts = transition.observations, dones
            if ended and transition.truncated.any():
                rows = np.flatnonzero(transition.truncated)
                truncations.append((n, rows, _rows(transition.final_observations)[rows]))
        self._add_values(buffer, truncations)
        assert model._last_obs is not None
        values = self.trunk.critic(_rows(model._last_obs))
        model.compute_advantages(buffer, values)
        end = {"n_steps": n_steps, "values": values, "new_obs": model._last_obs, "dones": dones}
        callback.update_locals(common | end)
        callback.on_rollout_end()
        return True

    def _add_values(self, buffer: RolloutBuffer, truncations: list[tuple[int, np.ndarray, np.ndarray]]) -> None:
        assert isinstance(buffer.observations, np.ndarray)
        states = _rows(buffer.observations.reshape(-1, *buffer.observations.shape[2:]))
        buffer.values[:] = self.trunk.critic(states).reshape(buffer.values.shape)
        if truncations:
            values = self.trunk.critic(np.concatenate([final for _, _, final in truncations]))
            steps = np.concatenate([np.full(len(rows), n) for n, rows, _ in truncations])
            buffer.next_values[steps, np.concatenate([rows for _, rows, _ in truncations])] = values


def _rows(observations: Observations) -> np.ndarray:
    """[N, ...] as [N, D] float32."""
    assert isinstance(observations, np.ndarray)
    return np.asarray(observations.reshape(len(observations), -1), np.float32)
