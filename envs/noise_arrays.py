"""Noise for N environments at once, for backends that step by arrays.

The same distributions as the wrappers of noise_wrappers, one environment at a time, have; not the same stream: here one
generator serves all rows and all kinds of noise, there each wrapper has its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from .noise import NoiseLevels, check_random_action, noisy_space, random_actions


class ArrayNoise:
    """The noise that `levels` ask for, on arrays of N rows; a level of 0 costs one comparison a step.

    A step of a backend: `actions = executed(actions)`, step, `rewards = rewards(rewards, ended)`, `restart(ended)`
    if any row ended, `observations = observations(observations)` (also for the last ones).

    Args:
        levels: how much of each kind.
        n_envs: N.
        action_space: of one environment.

    Raises:
        ValueError: `levels.random_action` with an action space that has no uniform distribution.
    """

    def __init__(self, levels: NoiseLevels, n_envs: int, action_space: spaces.Space) -> None:
        if levels.random_action:
            check_random_action(action_space)
        self.levels, self.action_space = levels, action_space
        self.rng = np.random.default_rng()
        self._last_actions = np.zeros((n_envs, *(action_space.shape or ())), action_space.dtype)
        self._fresh = np.ones(n_envs, bool)  # rows that have not acted in their episode
        self._held_back = np.zeros(n_envs)
        self._waited = np.zeros(n_envs, np.int64)  # steps since the last payment

    def reseed(self, rng: np.random.Generator) -> None:
        """Draw from this generator from now on."""
        self.rng = rng

    def restart(self, rows: Any = slice(None)) -> None:
        """New episodes begin in these rows (a mask, indices or a slice): nothing to repeat, nothing held back."""
        self._fresh[rows] = True
        self._held_back[rows] = 0.0
        self._waited[rows] = 0

    def executed(self, actions: np.ndarray) -> np.ndarray:
        """What is executed [N, ...] when the agent chooses `actions`."""
        levels = self.levels
        if levels.random_action:
            rows = np.flatnonzero(self.rng.random(len(actions)) < levels.random_action)
            if rows.size:
                actions = actions.copy()
                actions[rows] = random_actions(self.action_space, self.rng, rows.size)
        if levels.sticky:
            repeat = self.rng.random(len(actions)) < levels.sticky
            repeat &= ~self._fresh
            self._fresh[:] = False
            mask = repeat.reshape(-1, *[1] * (actions.ndim - 1))
            actions = self._last_actions = np.where(mask, self._last_actions, actions)
        return actions

    def rewards(self, rewards: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """What is paid [N] (float32 if it differs) for `rewards` [N]; `ended` [N]: the last step of an episode."""
        levels = self.levels
        if levels.reward_delay > 1:
            self._held_back += rewards
            self._waited += 1
            due = ended | (self._waited == levels.reward_delay)
            rewards = np.where(due, self._held_back, 0.0).astype(np.float32)
            self._held_back[due] = 0.0
            self._waited[due] = 0
        if levels.reward.std:
            noise = levels.reward.draw(self.rng, len(rewards))
            noise += rewards
            return noise
        return rewards

    def observations(self, observations: np.ndarray) -> np.ndarray:
        """What is seen [N, ...] of `observations`, in a new array unless there is no noise."""
        if not self.levels.observation:
            return observations
        noise = self.rng.standard_normal(observations.shape, observations.dtype.type)
        noise *= self.levels.observation
        noise += observations
        return noise

    def observation_space(self, space: spaces.Space) -> spaces.Space:
        """The space of what is seen. ValueError if there is observation noise and `space` is not a Box of floats."""
        return noisy_space(space) if self.levels.observation else space
