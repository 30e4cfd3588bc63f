"""The state of environments in processes of their own, over SB3's pipe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
from gymnasium.core import ActType, ObsType
from stable_baselines3.common import vec_env

from .environment import check_env, load_env, save_env
from .vec_env import StatefulVecEnv, joined


class StateOverPipe(gymnasium.Wrapper[ObsType, ActType, ObsType, ActType]):
    """Methods for SB3's `env_method`; errors are returned as text, since raising would end the process."""

    def save_state(self) -> dict[str, Any]:
        """The state of the environment inside."""
        return save_env(self.env)

    def state_error(self, state: dict[str, Any]) -> str:
        """Why the state does not fit; empty if it does."""
        return _message(check_env, self.env, state)

    def load_state(self, state: dict[str, Any]) -> str:
        """Take a state over; returns what went wrong, or nothing."""
        return _message(load_env, self.env, state)


class StatefulProcesses(StatefulVecEnv, vec_env.SubprocVecEnv):
    """SB3's SubprocVecEnv, whose state moves to and from environments in one process as well."""

    state_kind = "environments"

    def __init__(self, env_fns: list[Callable[[], gymnasium.Env]], start_method: str | None = None) -> None:
        vec_env.SubprocVecEnv.__init__(self, [partial(_over_pipe, env_fn) for env_fn in env_fns], start_method)

    def _save(self) -> dict[str, Any]:
        return joined(self.env_method("save_state"))

    def _load(self, state: dict[str, Any]) -> None:
        for method in ("state_error", "load_state"):
            for index, saved in enumerate(state["envs"]):
                if error := self.env_method(method, saved, indices=[index])[0]:
                    raise ValueError(error)


def _over_pipe(env_fn: Callable[[], gymnasium.Env]) -> gymnasium.Env:
    return StateOverPipe(env_fn())


def _message(function: Callable[[gymnasium.Env, dict[str, Any]], None], env: gymnasium.Env, state: Any) -> str:
    try:
        function(env, state)
    except ValueError as error:
        return str(error)
    return ""
