"""`get_state` and `set_state` of vector environments.

Level "exact": after `set_state` a freshly built environment of the same arguments does, to the bit, what the saved one
would have done: observations, rewards, ends, records, resets, noise. Level "boundary": some simulator can't give out
its state. The state then holds a seed per environment, `set_state` makes it pending, and the caller must call
`reset()`, which starts new episodes; those under way are lost and not recorded. The seeds depend on where the run
stands: going on twice gives the same episodes twice, and never the ones that the run began with.

Not in the state: the observation that the caller holds (keep it with its memory layout: the last bits of a convolution
depend on it), and what monitor files hold.
"""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

from gymnasium import Env
from stable_baselines3.common.vec_env import VecEnv

from .decode import Decoder
from .encode import Encoder
from .environment import (
    BOUNDARY,
    EXACT,
    as_text,
    check_env,
    check_versions,
    load_env,
    require_equal,
    save_env,
    seed_from,
    versions,
)
from .plain import UnsavedError

FORMAT = 1
_PYTHON_SIDE = ("action_space", "_seeds", "_options")


class StatefulVecEnv(VecEnv):
    """A VecEnv whose state is a value: plain values and arrays (see `envs.state.flatten`), never a pickle."""

    state_kind: ClassVar[str]  # states move between vector environments of one kind

    @property
    def state_level(self) -> str:
        """The level of what `get_state` would return now: "exact" or "boundary"."""
        return self.get_state()["level"]

    def get_state(self) -> dict[str, Any]:
        """Everything that the steps to come depend on; taking it changes nothing.

        Raises:
            RuntimeError: a step is under way.
            UnsavedError: the options of the next reset are no plain values.
        """
        if getattr(self, "waiting", False):
            raise RuntimeError("get_state between step_async and step_wait")
        python = Encoder().attributes(self, _PYTHON_SIDE, "venv")
        with contextlib.suppress(UnsavedError):  # nothing depends on what the last resets reported
            python["reset_infos"] = Encoder().encode(list(self.reset_infos), "reset_infos")
        return {"format": FORMAT, "kind": self.state_kind, "n_envs": self.num_envs, "python": python} | self._save()

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state; at level "boundary" call `reset()` next.

        Raises:
            ValueError: it is of another kind, number, id or arguments of environments, or of another version.
        """
        check_header(state, self.state_kind, self.num_envs)
        self._load(state)
        decoder = Decoder()
        infos = state["python"].get("reset_infos")
        decoder.attributes({name: state["python"][name] for name in _PYTHON_SIDE}, self, "venv")
        if infos is not None:
            self.reset_infos = Decoder().decode(infos, None, "reset_infos")
        if state["level"] == BOUNDARY:
            self._seeds = list(state["restart_seeds"])

    def _save(self) -> dict[str, Any]:
        """`level`, and what `_load` needs; `restart_seeds` [N] and `reason` at level "boundary"."""
        raise NotImplementedError

    def _load(self, state: dict[str, Any]) -> None:
        """Put back what `_save` returned. ValueError if it does not fit."""
        raise NotImplementedError


class StatefulEnvs(StatefulVecEnv):
    """The environments in `self.envs`, each with a state of its own."""

    state_kind = "environments"
    envs: list[Env]

    def _save(self) -> dict[str, Any]:
        return joined([save_env(env) for env in self.envs])

    def _load(self, state: dict[str, Any]) -> None:
        for env, saved in zip(self.envs, state["envs"], strict=True):
            check_env(env, saved)
        for env, saved in zip(self.envs, state["envs"], strict=True):
            load_env(env, saved)


class StatefulBatch(StatefulVecEnv):
    """One object that steps all environments, built from `self.options`.

    Exact where `state_attributes` names the attributes that hold the state, with all that is inside them. An engine
    that can't give out its state has none, so its level is "boundary".
    """

    state_attributes: ClassVar[tuple[str, ...]] = ()
    options: Any  # EnvOptions

    def _save(self) -> dict[str, Any]:
        shared = {"environment": self._describe()}
        if not self.state_attributes:
            seeds = [seed_from(self._where_it_stands(), row) for row in range(self.num_envs)]
            reason = f"{type(self).__name__}: its engine can't give out its state"
            return shared | {"level": BOUNDARY, "reason": reason, "restart_seeds": seeds}
        encoder = Encoder()
        body = encoder.attributes(self, self.state_attributes, "venv")
        return shared | {"level": EXACT, "body": body, "versions": versions("gymnasium", *encoder.packages)}

    def _load(self, state: dict[str, Any]) -> None:
        require_equal("environment", state["environment"], self._describe())
        if state["level"] == EXACT:
            check_versions(state["versions"])
            self.reset()
            Decoder().attributes(state["body"], self, "venv")

    def _where_it_stands(self) -> Any:
        """Values with an exact repr that no other point of the run, or of a run with another seed, has."""
        raise NotImplementedError

    def _describe(self) -> dict[str, Any]:
        options = self.options
        described = {
            name: repr(getattr(options, name)) for name in ("noise", "frame_stack", "max_episode_steps", "atari")
        }
        return {"id": options.spec.id, "arguments": as_text(options.env_kwargs)} | described


def check_header(state: Any, kind: str, n_envs: int) -> None:
    """ValueError unless it is a state of this kind, of so many environments."""
    if not isinstance(state, dict) or "format" not in state:
        raise ValueError("state: not what get_state of a vector environment returns")
    for name, here in (("format", FORMAT), ("kind", kind), ("n_envs", n_envs)):
        require_equal(name, state.get(name), here)


def joined(states: list[dict[str, Any]]) -> dict[str, Any]:
    """The states of N environments: exact if all are, else a boundary for all of them."""
    reasons = [state["reason"] for state in states if state["level"] == BOUNDARY]
    if not reasons:
        return {"level": EXACT, "envs": states}
    kept = [{"level": BOUNDARY, "environment": state["environment"]} for state in states]
    seeds = [state["restart_seed"] for state in states]
    return {"level": BOUNDARY, "reason": reasons[0], "restart_seeds": seeds, "envs": kept}
