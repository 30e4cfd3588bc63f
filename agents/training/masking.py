"""Action masks by sb3-contrib's convention: an environment says by `action_masks()` which actions are valid now."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv


def mask_size(env: VecEnv | None, action_space: spaces.Space) -> int | None:
    """M, the length of an environment's mask: actions, or their sum over the factors; None where it offers no mask.

    Raises:
        ValueError: if the environment offers masks for continuous actions.
    """
    if env is None or not env.has_attr("action_masks"):
        return None
    if isinstance(action_space, spaces.Discrete):
        return int(action_space.n)
    if isinstance(action_space, spaces.MultiDiscrete):
        return int(action_space.nvec.sum())
    if isinstance(action_space, spaces.MultiBinary):
        return 2 * int(np.prod(action_space.shape))
    raise ValueError(f"action_masks(): masks need discrete actions, the action space is {action_space}")


def action_masks(env: VecEnv) -> np.ndarray:
    """The masks of all environments, [N, M] bool; for MultiDiscrete and MultiBinary the factors' masks in a row.

    Raises:
        ValueError: if an environment allows no action at all.
    """
    masks = np.stack([np.asarray(mask, bool).reshape(-1) for mask in env.env_method("action_masks")])
    if not masks.any(1).all():
        raise ValueError(f"action_masks(): environment {int(masks.any(1).argmin())} allows no action")
    return masks
