"""The one training loop: collect -> advantages -> (new, old) -> objective, value loss -> step -> diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from ..objectives import value_loss
from .advantages import generalized_advantages
from .algorithm import Algorithm
from .diagnostics import Diagnostics
from .masking import action_masks
from .rollouts import Minibatch, RolloutBuffer, Stepper, rows_of


class Evaluation(NamedTuple):
    """A minibatch seen with the current parameters."""

    loss: Tensor  # scalar, to be minimised
    metrics: dict[str, Tensor]


class OnPolicy(Algorithm):
    """The loop: collect -> advantages -> minibatches of (new, old) -> objective -> step; arguments in `Algorithm`."""

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer with n_rollout_steps of each environment; False if a callback stopped training."""
        assert self._last_obs is not None, "no previous observation"
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        take_step = Stepper(env)
        for n_steps in range(n_rollout_steps):
            masks = None if rollout_buffer.masks is None else action_masks(env)
            with torch.no_grad():
                action_tensor, behaviour, values = self.policy.act(
                    obs_as_tensor(self._last_obs, self.device), self._mask_tensor(masks)
                )
            actions = action_tensor.cpu().numpy()
            transition, infos = take_step(self._clipped(actions))
            new_obs, rewards = transition.observations, transition.rewards
            dones = transition.terminated | transition.truncated
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            rollout_buffer.add(self._last_obs, actions, behaviour, masks, values, transition)
            if transition.truncated.any():
                rows = np.flatnonzero(transition.truncated)
                rollout_buffer.next_values[n_steps, rows] = self._values(rows_of(transition.final_observations, rows))
            self._last_obs, self._last_episode_starts = new_obs, dones
        self._compute_advantages(rollout_buffer)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _clipped(self, actions: np.ndarray) -> np.ndarray:
        """Actions within the bounds of a Box; the buffer keeps the unclipped ones, whose log-probability is exact."""
        if isinstance(self.action_space, spaces.Box):
            return np.clip(actions, self.action_space.low, self.action_space.high)
        return actions

    def _mask_tensor(self, masks: np.ndarray | None) -> Tensor | None:
        return None if masks is None else torch.as_tensor(masks, device=self.device)

    def _values(self, observations: Any) -> np.ndarray:
        with torch.no_grad():
            return self.policy.predict_values(obs_as_tensor(observations, self.device)).flatten().cpu().numpy()

    def _compute_advantages(self, buffer: RolloutBuffer) -> None:
        """Rewards (with the coupled penalty) to advantages and value targets."""
        going_on = ~buffer.truncated
        following = np.concatenate([buffer.values[1:], self._values(self._last_obs)[None]])
        buffer.next_values[going_on] = following[going_on]
        rewards = buffer.rewards
        if self._regularizer is not None and self._regularizer.in_reward:
            with torch.no_grad():
                penalty = self._regularizer.penalty(self.policy.head(*buffer.flat_behaviour()))
            rewards = rewards - penalty.cpu().numpy().reshape(rewards.shape).astype(np.float32)
        ended = buffer.terminated | buffer.truncated
        buffer.advantages = generalized_advantages(
            rewards, buffer.values, buffer.next_values, buffer.terminated, ended, self.gamma, self.gae_lambda
        )
        buffer.returns = buffer.advantages + buffer.values

    def train(self) -> None:
        """One update: n_epochs passes over the rollout, a step per minibatch."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        self._update_scalars()
        diagnostics = Diagnostics()
        for _ in range(self.n_epochs):
            within_trust_region = self._epoch(diagnostics)
            self._n_updates += 1
            if not within_trust_region:
                break
        self._log(diagnostics)

    def _epoch(self, diagnostics: Diagnostics) -> bool:
        """One pass over the rollout; False once the policy has moved beyond `target_kl`."""
        for batch in self.rollout_buffer.get(self.batch_size):
            evaluation = self.evaluate(batch)
            diagnostics.record(evaluation.metrics)
            if self.target_kl is not None and evaluation.metrics["approx_kl"].mean() > 1.5 * self.target_kl:
                return False
            diagnostics.record(self._step(evaluation.loss, self._loss_fn(batch)))
        return True

    def _loss_fn(self, batch: Minibatch) -> Callable[[], Tensor]:
        return lambda: self.evaluate(batch).loss

    def evaluate(self, batch: Minibatch) -> Evaluation:
        """The total loss of a minibatch at the current parameters, and what to log of it."""
        parameters, values = self.policy.parameters_and_values(batch.observations)
        new, old = self.policy.head(parameters, batch.masks), self.policy.head(batch.behaviour, batch.masks)
        policy_loss, metrics = self._objective(new, old, batch.actions, self._normalized(batch.advantages))
        clip_range_vf = None if self.clip_range_vf is None else self.scalar("clip_range_vf")
        critic_loss = value_loss(values, batch.returns, batch.old_values, clip_range_vf).mean()
        entropy = new.entropy()
        loss = policy_loss.mean() - self.scalar("ent_coef") * entropy.mean() + self.vf_coef * critic_loss
        if self._regularizer is not None:
            divergence = self._regularizer.divergence_of(new)
            metrics["divergence"] = divergence
            if self._regularizer.in_loss:
                loss = loss + self.scalar("reg_coef") * divergence.mean()
        metrics |= {"loss": loss, "policy_gradient_loss": policy_loss, "value_loss": critic_loss}
        metrics |= {"entropy": entropy, "entropy_loss": -entropy, **new.diagnostics()}  # type: ignore[attr-defined]
        return Evaluation(loss, metrics)

    def _normalized(self, advantages: Tensor) -> Tensor:
        if not self.normalize_advantage or len(advantages) < 2:
            return advantages
        return (advantages - advantages.mean()) / (advantages.std() + 1e-8)

    def _log(self, diagnostics: Diagnostics) -> None:
        buffer = self.rollout_buffer
        means = diagnostics.means() | {name: scalar.tensor.item() for name, scalar in self._scalars.items()}
        if self._regularizer is None:
            means.pop("reg_coef")
        means["explained_variance"] = float(explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
        for name, value in means.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
