"""Environment ids by name alone: what installed packages offer under the entry-point group `gymnasium.envs`."""

from __future__ import annotations

from importlib.metadata import entry_points

import gymnasium


def load_env_plugins(env_id: str) -> None:
    """Run the registrations of installed packages if `env_id` is unknown; Gymnasium 1.x no longer does this itself."""
    if env_id not in gymnasium.registry:
        for point in entry_points(group="gymnasium.envs"):
            point.load()()
