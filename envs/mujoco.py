"""Building Gymnasium's MuJoCo environments without litter."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from gymnasium.envs.registration import EnvSpec


def is_mujoco(spec: EnvSpec) -> bool:
    """Whether the id is one of Gymnasium's MuJoCo tasks."""
    return str(spec.entry_point).startswith("gymnasium.envs.mujoco.")


@contextlib.contextmanager
def quiet_deprecations() -> Iterator[None]:
    """While a model is compiled: no word on deprecated attributes, other warnings of MuJoCo as Python warnings.

    Gymnasium's HalfCheetah model uses one; MuJoCo would print it for every environment, and append it to MUJOCO_LOG.TXT
    in the working directory.
    """
    import mujoco

    def handle(message: str) -> None:
        if "is deprecated" not in message:
            warnings.warn(f"MuJoCo: {message}", stacklevel=2)

    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(handle)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
