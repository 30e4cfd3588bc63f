"""A lost life ends the training episode; the game goes on."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
from gymnasium.core import ActType, ObsType
from gymnasium.utils import RecordConstructorArgs


class EpisodicLife(gymnasium.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs):
    """`terminated` where a life is lost, and a reset after that which leaves the game as it is.

    The next episode begins with the very observation that ended the last one: no frame is played, or forgotten, that
    the agent did not see. A reset at any other time, or with a seed, starts a new game. (AtariPreprocessing's own
    `terminal_on_life_loss` starts a new game at each lost life: later lives are never seen. SB3's EpisodicLifeEnv plays
    a step of no-ops at the reset.)
    """

    def __init__(self, env: gymnasium.Env[ObsType, ActType]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.lives = 0
        self._after_life: tuple[ObsType, dict[str, Any]] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """The next life, or a new game."""
        first = self._after_life
        if first is None or seed is not None:
            first = self.env.reset(seed=seed, options=options)
        self._after_life = None
        self.lives = self._lives_left()
        return first

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """A step of the game."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        lives, self._after_life = self._lives_left(), None
        if 0 < lives < self.lives:
            self._after_life = None if terminated or truncated else (observation, info)
            terminated = True
        self.lives = lives
        return observation, reward, terminated, truncated, info

    def _lives_left(self) -> int:
        return int(self.unwrapped.ale.lives())  # type: ignore[attr-defined]
