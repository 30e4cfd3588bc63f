"""The state of a VecNormalize: its statistics, and that of the environments inside."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common import vec_env

from .decode import Decoder
from .encode import Encoder
from .environment import require_equal
from .vec_env import check_header

_SETTINGS = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs_keys")
_MOVING = ("obs_rms", "ret_rms", "returns", "old_obs", "old_reward")


class StatefulNormalizer(vec_env.VecNormalize):
    """SB3's VecNormalize with `state_level`, `get_state` and `set_state`, around environments that have them."""

    @property
    def state_level(self) -> str:
        """The level of the environments inside; the statistics are always exact."""
        return self._inside().state_level

    def get_state(self) -> dict[str, Any]:
        """Statistics, discounted returns and last observations, and under "inside" the state of the environments."""
        inside = self._inside().get_state()
        moving = [name for name in _MOVING if name in vars(self)]
        return {
            "format": inside["format"],
            "kind": "VecNormalize",
            "n_envs": self.num_envs,
            "level": inside["level"],
            "settings": {name: getattr(self, name) for name in _SETTINGS},
            "moving": Encoder().attributes(self, moving, "VecNormalize"),
            "inside": inside,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state; at level "boundary" call `reset()` next.

        Raises:
            ValueError: it was saved with other settings, or does not fit the environments inside.
        """
        check_header(state, "VecNormalize", self.num_envs)
        require_equal("VecNormalize", state["settings"], {name: getattr(self, name) for name in _SETTINGS})
        self._inside().set_state(state["inside"])
        Decoder().attributes(state["moving"], self, "VecNormalize")

    def _inside(self) -> Any:
        if not hasattr(type(self.venv), "get_state"):  # asked of the class: SB3's wrappers pass look-ups on
            raise ValueError(f"{type(self.venv).__name__} cannot save its state; make_vec's environments can")
        return self.venv
