"""What a policy can be built for, and of: checked before SB3 fails without a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

from ..suggest import check_choice

_OBSERVED = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary


def check_observations(space: spaces.Space) -> None:
    """ValueError unless it is a Box, Discrete, MultiDiscrete or MultiBinary, or a Dict of these."""
    parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    for key, part in parts.items():
        if not isinstance(part, _OBSERVED):
            name = f"observations {key!r} of {type(part).__name__}" if key else f"observations of {type(part).__name__}"
            raise ValueError(f"{name}: must be Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these")


def check_image(space: spaces.Space, normalize_images: bool) -> None:
    """ValueError if a CNN can't look at it."""
    if not is_image_space(space, check_channels=False, normalized_image=not normalize_images):
        dtype, shape = getattr(space, "dtype", np.dtype(object)), getattr(space, "shape", None)
        raise ValueError(
            f"CnnPolicy needs image observations (uint8, 3 dimensions), got {dtype} of shape {shape}: use MlpPolicy"
        )


def check_net_arch(net_arch: Any) -> None:
    """ValueError unless it is None, widths, or widths under "pi" and "vf"; SB3 would ignore another key."""
    if isinstance(net_arch, list) and len(net_arch) == 1 and isinstance(net_arch[0], Mapping):
        net_arch = net_arch[0]  # as SB3 once had it, and still takes
    if net_arch is None:
        return
    for key, widths in (net_arch if isinstance(net_arch, Mapping) else {"pi": net_arch}).items():
        check_choice("net_arch", str(key), ("pi", "vf"))
        whole = isinstance(widths, list | tuple) and all(isinstance(n, int | np.integer) and n >= 1 for n in widths)
        if not whole:
            raise ValueError(
                f"net_arch={net_arch!r}: must be the widths of the layers, such as [64, 64], "
                "or {'pi': [64, 64], 'vf': [64, 64]}"
            )
