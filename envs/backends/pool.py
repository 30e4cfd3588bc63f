"""Same-step resets for engines that reset an ended environment one step late.

ALE's AtariVectorEnv and EnvPool restart an ended environment in the next step, which ignores its action and pays
nothing. Such a step never happens here: the environments whose episodes ended are restarted by a partial reset before
`step_arrays` returns, so what the engine last returned is the true final observation and every row handed out is a step
of some episode.

Both engines would also cut episodes off by themselves. Their limits are put out of reach and the steps are counted
here, because at their limits AtariVectorEnv leaves the last frame out of the observation, and EnvPool reports a
termination as a truncation.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from ..atari import AtariProtocol
from ..noise_arrays import ArrayNoise
from ..single import EnvOptions
from .arrays import NO_EPISODES, StepArrays
from .batched import BatchedVecEnv

OUT_OF_REACH = 2**31 - 1


class EngineStep(NamedTuple):
    """What the engine said of one step of all environments; none of these arrays is written to later."""

    observations: np.ndarray  # [N, ...]
    rewards: np.ndarray  # [N] unclipped
    terminated: np.ndarray  # [N] bool, the game or task itself has ended
    lives: np.ndarray | None  # [N]


class PoolVecEnv(BatchedVecEnv):
    """N environments of an engine that can restart some of them, with life loss, clipping, noise and time limit."""

    def __init__(
        self,
        vector: Any,
        options: EnvOptions,
        n_envs: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
    ) -> None:
        self.noise = ArrayNoise(options.noise, n_envs, action_space)
        noisy_space = self.noise.observation_space(observation_space)
        super().__init__(vector, options, n_envs, noisy_space, action_space)
        self.rules: AtariProtocol | None = options.atari
        limit = options.max_episode_steps or options.spec.max_episode_steps
        self.max_episode_steps = options.atari.max_episode_steps if options.atari else limit or OUT_OF_REACH
        self._lives = np.zeros(n_envs, np.int64)

    @property
    def state_level(self) -> str:
        """These engines cannot save their state: a run resumes with new episodes."""
        return "boundary"

    @abstractmethod
    def _start(self, seeds: list[int | None]) -> tuple[np.ndarray, np.ndarray | None]:
        """Restart all environments, with seeds where given: observations [N, ...] and lives [N]."""

    @abstractmethod
    def _advance(self, actions: np.ndarray) -> EngineStep:
        """Step all environments."""

    @abstractmethod
    def _restart(self, rows: np.ndarray, step: EngineStep) -> tuple[np.ndarray, np.ndarray | None]:
        """Restart these rows [K] after `step`: new arrays of all observations [N, ...] and lives [N]."""

    def reset(self) -> np.ndarray:
        """Start N episodes. ValueError for reset options, which the engines do not know."""
        if any(self._options):
            raise ValueError(f"reset options {self._options}: not known to {type(self).__name__}")
        seeds = list(self._seeds)
        if seeds[0] is not None:
            self.noise.reseed(np.random.default_rng(np.random.SeedSequence(seeds[0]).spawn(1)[0]))
        observations, lives = self._start(seeds)
        self._reset_seeds()
        self.noise.restart()
        self.book.restart()
        self._keep(lives)
        return self.noise.observations(observations)

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`. ValueError for an action outside a Discrete space."""
        step = self._advance(self._checked(self.noise.executed(actions)))
        self.book.add(step.rewards)
        over = step.terminated | (self.book.lengths >= self.max_episode_steps)
        terminated, rewards = step.terminated, step.rewards
        if self.rules is not None and self.rules.life_loss and step.lives is not None:
            terminated = terminated | ((step.lives > 0) & (step.lives < self._lives))
        if self.rules is not None and self.rules.clip_reward:
            rewards = np.sign(rewards)
        truncated = over & ~terminated
        ended = over | terminated
        rewards = self.noise.rewards(rewards.astype(np.float32, copy=False), ended)
        observations, lives, episodes = step.observations, step.lives, NO_EPISODES
        if over.any():
            rows = np.flatnonzero(over)
            episodes = self.book.finish(rows)
            observations, lives = self._restart(rows, step)
        self._keep(lives)
        if not ended.any():
            seen = self.noise.observations(observations)
            return StepArrays(seen, rewards, terminated, truncated, seen, *episodes)
        self.noise.restart(ended)
        final = self.noise.observations(step.observations)
        return StepArrays(self.noise.observations(observations), rewards, terminated, truncated, final, *episodes)

    def _keep(self, lives: np.ndarray | None) -> None:
        if lives is not None:
            self._lives = lives

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        """The engines do not check: AtariVectorEnv would wait forever, EnvPool read what is not there."""
        space = self.action_space
        if isinstance(space, spaces.Discrete) and (actions.min() < 0 or actions.max() >= space.n):
            raise ValueError(f"actions={actions}: must lie in [0, {space.n})")
        return actions
