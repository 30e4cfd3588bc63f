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

OUT_OF_REACH = 2**31 - 1  # steps or frames
SEED_BITS = 2**31 - 1  # the engines' seeds are signed, and negative ones mean something else


class EngineStep(NamedTuple):
    """What the engine said of one step of all environments; none of these arrays is written to later."""

    observations: np.ndarray  # [N, ...]
    rewards: np.ndarray  # [N] unclipped
    terminated: np.ndarray  # [N] bool, the game or task itself has ended
    info: dict[str, np.ndarray]  # [N, ...] each; `lives` in Atari


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
        self._info: dict[str, np.ndarray] = {}  # of the last step
        self._origin: Any = np.random.SeedSequence().entropy

    @abstractmethod
    def _start(self, seeds: list[int | None]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Restart all environments, with seeds where given: observations and info."""

    @abstractmethod
    def _advance(self, actions: np.ndarray) -> EngineStep:
        """Step all environments."""

    @abstractmethod
    def _restart(self, rows: np.ndarray, observations: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Restart these rows [K]: a new array of all observations, and the info [K, ...] of these rows."""

    def reset(self) -> np.ndarray:
        """Start N episodes. ValueError for reset options, which the engines do not know."""
        if any(self._options):
            raise ValueError(f"reset options {self._options}: not known to {type(self).__name__}")
        seeds = list(self._seeds)
        if seeds[0] is not None:
            self._origin = seeds
            self.noise.reseed(np.random.default_rng(np.random.SeedSequence(seeds[0]).spawn(1)[0]))
        observations, info = self._start(seeds)
        self._began(np.arange(self.num_envs), info)
        self._reset_seeds()
        self.noise.restart()
        self.book.restart()
        return self.noise.observations(observations)

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`. ValueError for an action outside a Discrete space."""
        observations, rewards, terminated, self._info = self._advance(self._checked(self.noise.executed(actions)))
        self.book.add(rewards)
        over = terminated | (self.book.lengths >= self.max_episode_steps)
        if self.rules is not None:
            lives = self._info["lives"]
            if self.rules.life_loss:
                terminated = terminated | ((lives > 0) & (lives < self._lives))
            if self.rules.clip_reward:
                rewards = np.sign(rewards)
            self._lives = lives
        truncated = over & ~terminated
        ended = over | terminated
        rewards = self.noise.rewards(rewards.astype(np.float32, copy=False), ended)
        if not ended.any():
            seen = self.noise.observations(observations)
            return StepArrays(seen, rewards, terminated, truncated, seen, *NO_EPISODES)
        final, episodes = self.noise.observations(observations), NO_EPISODES
        if over.any():
            rows = np.flatnonzero(over)
            episodes = self.book.finish(rows)
            observations, info = self._restart(rows, observations)
            self._began(rows, info)
        self.noise.restart(ended)
        return StepArrays(self.noise.observations(observations), rewards, terminated, truncated, final, *episodes)

    def _where_it_stands(self) -> Any:
        return self._origin, self.book.total_steps

    def _began(self, rows: np.ndarray, info: dict[str, np.ndarray]) -> None:
        """Episodes began in these rows [K], of which the engine says `info`."""
        if self.rules is not None:
            self._lives = self._lives.copy()  # the last step's, if it has been stepped
            self._lives[rows] = info["lives"]
        for row, said in zip(rows.tolist(), rows_of(info, len(rows)), strict=True):
            self.reset_infos[row] = said

    def _last_infos(self) -> list[dict[str, Any]]:
        return [a | b for a, b in zip(rows_of(self._info, self.num_envs), super()._last_infos(), strict=True)]

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        """The engines do not check: AtariVectorEnv would wait forever, EnvPool read what is not there."""
        space = self.action_space
        if isinstance(space, spaces.Discrete) and (actions.min() < 0 or actions.max() >= space.n):
            raise ValueError(f"actions={actions}: must lie in [0, {space.n})")
        return actions


def rows_of(info: dict[str, np.ndarray], n: int) -> list[dict[str, Any]]:
    """Arrays [n, ...] as a dictionary per row."""
    return [{key: values[row] for key, values in info.items()} for row in range(n)]
