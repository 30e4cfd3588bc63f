"""The Atari emulator's sticky actions, outside the emulator."""

from __future__ import annotations

from typing import Any

from .noise_wrappers import StickyActions


class StickyFrames(StickyActions[Any, Any]):
    """At each frame, with some probability, the action of the frame before (Machado et al. 2018, section 5.2).

    The law is the emulator's, where the frame before the first one of a game is a no-op; the random numbers are not. It
    is here because the emulator does not give out its last action, so with its own no state of it is exact.

    Args:
        env: a game that advances one frame a step, and whose action 0 is the no-op.
        repeat_probability: in [0, 1).

    Raises:
        ValueError: the probability is outside [0, 1).
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset; what may be repeated is a no-op."""
        first = super().reset(seed=seed, options=options)
        self.last_action = 0
        return first
