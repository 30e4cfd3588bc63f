"""The one training loop: collect -> advantages -> (new, old) -> objective, value loss -> step -> diagnostics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.distributions import kl_divergence

from ..objectives.base import sampled_kl_old_new, sampled_log_ratio
from ..policies.images import acting
from .advantages import dense_advantages, generalized_advantages, normalized
from .algorithm import Algorithm
from .devices import to_host
from .diagnostics import detailed_diagnostics
from .engine.mlp import own_version
from .listeners import is_quiet
from .masking import action_masks
from .rollouts import Minibatch, RolloutBuffer
from .stepper import Observations, Stepper, rows_of
from .updates import Evaluation, Means, make_update


class OnPolicy(Algorithm):
    """The loop: collect -> advantages -> minibatches of (new, old) -> objective -> step; arguments in `Algorithm`."""

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer with n_rollout_steps of each environment; False if a callback stopped training."""
        assert self._last_obs is not None, "no previous observation"
        rollout_buffer.reset()
        callback.on_rollout_start()
        quiet = is_quiet(callback)
        if not quiet:
            self.renew_engine()
        if self._fused is not None:
            going_on = self._fused.collect(self, env, callback, rollout_buffer, n_rollout_steps)
        else:
            going_on = self._collect(env, callback, rollout_buffer, n_rollout_steps)
        if not quiet:
            self.renew_engine()
        return going_on

    def _collect(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        assert self._last_obs is not None
        self.policy.set_training_mode(False)
        take_step, curious = Stepper(env), not is_quiet(callback)
        act = self._act if self._recorded is None else self._recorded.act
        with acting(self.policy):
            for n_steps in range(n_rollout_steps):
                masks = None if rollout_buffer.masks is None else action_masks(env)
                actions, behaviour, values = act(rollout_buffer.observe(self._last_obs), masks)
                clipped_actions = self._clipped(actions)
                transition = take_step(clipped_actions)
                new_obs, rewards, dones = transition.observations, transition.rewards, transition.dones
                infos = take_step.infos(transition, curious or bool(dones.any()))
                self.num_timesteps += env.num_envs
                callback.update_locals(locals())
                if not callback.on_step():
                    return False
                self._update_info_buffer(infos, dones)
                rollout_buffer.actions[n_steps] = actions.reshape(rollout_buffer.actions[n_steps].shape)
                rollout_buffer.values[n_steps] = values
                if rollout_buffer.masks is not None:
                    rollout_buffer.masks[n_steps] = masks
                rollout_buffer.record(behaviour, transition)
                if transition.truncated.any():
                    rows = np.flatnonzero(transition.truncated)
                    final = rows_of(transition.final_observations, rows)
                    rollout_buffer.next_values[n_steps, rows] = self._values(final)
                self._last_obs, self._last_episode_starts = new_obs, dones
        n_steps, values = n_rollout_steps, self._values(self._last_obs)
        self.compute_advantages(rollout_buffer, values)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _act(self, observations: Observations, masks: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """Sampled actions [N, ...], behaviour parameters [N, P] and values [N]; FloatingPointError as `policy.act`."""
        valid = None if masks is None else torch.as_tensor(masks, device=self.device)
        with torch.no_grad():
            return to_host(*self.policy.act(obs_as_tensor(observations, self.device), valid))

    def _clipped(self, actions: np.ndarray) -> np.ndarray:
        """Actions within the bounds of a Box; the buffer keeps the unclipped ones, whose log-probability is exact."""
        if isinstance(self.action_space, spaces.Box):
            return np.clip(actions, self.action_space.low, self.action_space.high)
        return actions

    def _values(self, observations: Any) -> np.ndarray:
        with torch.no_grad():
            return self.policy.predict_values(obs_as_tensor(observations, self.device)).flatten().cpu().numpy()

    def compute_advantages(self, buffer: RolloutBuffer, last_values: np.ndarray) -> None:
        """Rewards (with the coupled penalty) to advantages and value targets; last_values [N] of the next states.

        `train` takes them from the buffer, so a callback's `on_rollout_end` may change them, or call this again.
        """
        self._move_scalars(self.update_scheduled, self._updates_remaining())  # reg_coef is in the rewards
        self._add_reference(buffer)
        going_on = ~buffer.truncated
        following = np.concatenate([buffer.values[1:], last_values[None]])
        buffer.next_values[going_on] = following[going_on]
        rewards = buffer.rewards - self._reward_penalty(buffer)
        ended = buffer.terminated | buffer.truncated
        buffer.advantages = generalized_advantages(
            rewards, buffer.values, buffer.next_values, buffer.terminated, ended, self.gamma, self.gae_lambda
        )
        buffer.returns = buffer.advantages + buffer.values

    def close_rollout(self) -> None:
        """What the policy learns from, by the advantages as they are now; then all goes to the device."""
        self.rollout_buffer.policy_advantages = self._policy_advantages(self.rollout_buffer)
        self.rollout_buffer.seal()

    def _add_reference(self, buffer: RolloutBuffer) -> None:
        """The reference policy's parameters at each state, where it is a network: frozen for the whole update."""
        if self._reference.policy is not None:
            batches = buffer.get(self.batch_size, shuffle=False)
            buffer.reference = buffer.by_time([self._reference.parameters(batch.observations) for batch in batches])

    @torch.no_grad()
    def _reward_penalty(self, buffer: RolloutBuffer) -> np.ndarray | float:
        """reg_coef D_f(pi(.|s_t) || reference), [T, N], where it enters the reward; else 0."""
        if self._regularizer is None or not self._regularizer.in_reward:
            return 0.0
        parts = [
            self._regularizer.penalty(self.policy.head(batch.behaviour, batch.masks), self.loss.reference(batch))
            for batch in buffer.get(self.batch_size, shuffle=False)
        ]
        return buffer.by_time(parts).astype(np.float32)

    @torch.no_grad()
    def _policy_advantages(self, buffer: RolloutBuffer) -> np.ndarray:
        """What the policy learns from: A [T, N] or dense [T, N, A], of unit scale where that is done per rollout."""
        per_rollout = self.normalize_advantage and self.normalize_per == "rollout"
        if self.advantage == "sampled":
            if not per_rollout:
                return buffer.advantages
            return normalized(torch.from_numpy(buffer.advantages).flatten()).numpy().reshape(buffer.advantages.shape)
        parts, probs = [], []
        for batch in buffer.get(self.batch_size, shuffle=False):
            action_values = self.policy.evaluate_critic(batch.observations)[1]
            assert action_values is not None
            probs.append(self.policy.head(batch.behaviour, batch.masks).probs)  # type: ignore[attr-defined]
            parts.append(dense_advantages(action_values, probs[-1]))
        advantages = torch.cat(parts)
        return buffer.by_time([normalized(advantages, torch.cat(probs)) if per_rollout else advantages])

    def train(self) -> None:
        """One update from the rollout."""
        self.close_rollout()
        if self._fused is None:  # its layers have no modes, and SB3's walk through the modules takes its time
            self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        self._update_scalars()
        update = make_update(self) if self._fused is None else self._fused.update_of(self)
        diagnostics = update(self._recorded or self)
        self._n_updates += diagnostics.epochs
        self._after_update()
        self._log(diagnostics)

    def evaluate(self, batch: Minibatch, detailed: bool = False) -> Evaluation:
        """Policy and value loss of a minibatch at the current parameters, and what to log of it."""
        parameters, values, action_values = self.policy.evaluate(batch.observations)
        batch = batch._replace(advantages=self.scaled_advantages(batch))
        losses = self.loss(parameters, values, action_values, batch)
        metrics = losses.metrics
        if detailed:
            new = self.policy.head(parameters, batch.masks)
            metrics |= detailed_diagnostics(new, batch.advantages, losses.objective, parameters)
        return Evaluation(losses.policy.mean(), losses.value.mean(), metrics)

    def scaled_advantages(self, batch: Minibatch) -> Tensor:
        """Advantages [B] or [B, A] of a minibatch as the objective takes them."""
        if not self.normalize_advantage or self.normalize_per != "minibatch":
            return batch.advantages
        if self.advantage == "sampled":
            return normalized(batch.advantages)
        old = self.policy.head(batch.behaviour, batch.masks)
        return normalized(batch.advantages, old.probs)  # type: ignore[attr-defined]

    def critic_loss(self, batch: Minibatch) -> Tensor:
        """The value loss of a minibatch alone."""
        return self.loss.value(*self.policy.evaluate_critic(batch.observations), batch).mean()

    def kl(self, batch: Minibatch) -> Tensor:
        """Mean KL(new || old) of a minibatch at the current parameters."""
        new = self.policy.head(self.policy.evaluate(batch.observations)[0], batch.masks)
        return kl_divergence(new, self.policy.head(batch.behaviour, batch.masks)).mean()

    @property
    def kl_limit(self) -> float | None:
        """The approx_kl that ends an update, 1.5 target_kl; a trust-region step keeps to target_kl by itself."""
        return None if self.target_kl is None or self.step == "trust_region" else 1.5 * self.target_kl

    def beyond_target_kl(self, evaluation: Evaluation) -> bool:
        """Whether approx_kl exceeds its limit."""
        return self.kl_limit is not None and bool(evaluation.metrics["approx_kl"].mean() > self.kl_limit)

    def own_version(self, names: Iterable[str]) -> str:
        """The first of these methods that is not the one of this class; "" if none."""
        return own_version(self, OnPolicy, names)

    def _after_update(self) -> None:
        self._reference.after_update(self.update_number, self.policy)

    @torch.no_grad()
    def rollout_kl(self) -> float:
        """Mean KL(old || new) over the rollout, by k3 on its actions, at the current parameters."""
        parts = []
        for batch in self.rollout_buffer.get(self.batch_size, shuffle=False):
            new = self.policy.head(self.policy.evaluate(batch.observations)[0], batch.masks)
            old = self.policy.head(batch.behaviour, batch.masks)
            parts.append(sampled_kl_old_new(sampled_log_ratio(new, old, batch.actions)))
        return torch.cat(parts).mean().item()

    def _log(self, diagnostics: Means) -> None:
        buffer = self.rollout_buffer
        means = diagnostics.means() | {name: scalar.tensor.item() for name, scalar in self._scalars.items()}
        if self._regularizer is None:
            means.pop("reg_coef")
        means["explained_variance"] = float(explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
        for name, value in means.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
