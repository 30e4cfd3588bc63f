"""A lost life ends the training episode; the game goes on."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv


class EpisodicLife(EpisodicLifeEnv):
    """SB3's EpisodicLifeEnv, except that a reset with a seed starts a new game even in the middle of one.

    (AtariPreprocessing's own `terminal_on_life_loss` resets the whole game at each life: later lives are never seen.)
    """

    def reset(self, **kwargs: Any) -> Any:
        """A no-op step after a lost life, a new game after the last one or with a seed."""
        if kwargs.get("seed") is not None:
            self.was_real_done = True
        return super().reset(**kwargs)
