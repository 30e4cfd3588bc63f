"""The state of one Gymnasium environment with all its wrappers.

Exact: a freshly built environment of the same arguments goes on bit for bit as the saved one would have. Boundary: that
is not possible; what is kept is a seed, drawn from where the environment stands, for the episode that starts in place
of the one under way.

An environment that knows better than the general way through its attributes offers two methods of its own:
`get_exact_state()`, which returns plain values, and `set_exact_state(state)`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from functools import cache
from typing import Any

import gymnasium

from .decode import Decoder
from .encode import Encoder
from .kinds import class_name
from .plain import UnsavedError

EXACT, BOUNDARY = "exact", "boundary"
_version = cache(importlib.metadata.version)  # reading a package's metadata takes longer than all the rest


def save_env(env: gymnasium.Env) -> dict[str, Any]:
    """Level "exact" and the whole chain of wrappers, or level "boundary" and the reason. Changes nothing."""
    state: dict[str, Any] = {"level": EXACT, "environment": describe(env), "restart_seed": _restart_seed(env)}
    encoder = Encoder()
    try:
        state["body"] = encoder.encode(env, str(state["environment"]["id"]))
    except UnsavedError as error:
        state |= {"level": BOUNDARY, "reason": str(error)}
    return state | {"versions": versions("gymnasium", *encoder.packages)}


def check_env(env: gymnasium.Env, state: dict[str, Any]) -> None:
    """ValueError if the state is of another environment or other arguments; if exact, also of another version."""
    require_equal("environment", state["environment"], describe(env))
    if state["level"] == EXACT:
        check_versions(state["versions"])


def load_env(env: gymnasium.Env, state: dict[str, Any]) -> None:
    """Put a state into an environment built with the same arguments; at level "boundary" it demands a reset.

    Raises:
        ValueError: it is of another environment, other arguments or another version of the simulator.
    """
    check_env(env, state)
    if state["level"] == BOUNDARY:
        if env.has_wrapper_attr("needs_reset"):  # the recorder refuses to step until then
            env.set_wrapper_attr("needs_reset", True)
        return
    env.reset()  # so that all that is built on the first reset is there to be filled in
    Decoder().decode(state["body"], env, state["environment"]["id"])


def describe(env: gymnasium.Env) -> dict[str, Any]:
    """What two environments must share for a state to move from one to the other: id, arguments, wrappers."""
    wrappers = []
    while isinstance(env, gymnasium.Wrapper):
        wrappers.append({"wrapper": class_name(env), "arguments": as_text(getattr(env, "_saved_kwargs", {}))})
        env = env.env
    spec = env.spec
    return {
        "id": spec.id if spec else None,
        "class": class_name(env),
        "arguments": as_text(spec.kwargs if spec else {}),
        "wrappers": wrappers,
    }


def versions(*packages: str) -> dict[str, str]:
    """The installed versions."""
    return {name: _version(name) for name in sorted(packages)}


def check_versions(saved: dict[str, str]) -> None:
    """ValueError if a package has another version now: what it simulates may differ."""
    for name, here in versions(*saved).items():
        if saved[name] != here:
            raise ValueError(f"state: saved with {name} {saved[name]}, this is {here}, which may simulate otherwise")


def require_equal(what: str, saved: Any, here: Any) -> None:
    """ValueError naming the first part of a description that differs."""
    if isinstance(saved, dict) and isinstance(here, dict):
        for key in sorted(saved.keys() | here.keys()):
            require_equal(f"{what} {key}", saved.get(key), here.get(key))
    elif isinstance(saved, list) and isinstance(here, list) and len(saved) == len(here):
        for index, pair in enumerate(zip(saved, here, strict=True)):
            require_equal(f"{what} {index}", *pair)
    elif saved != here:
        raise ValueError(f"state: {what} was {saved!r}, it is {here!r} here")


def _restart_seed(env: gymnasium.Env) -> int:
    """A seed in [0, 2**32) that changes with every draw, and with every step where there is a recorder."""
    steps = env.get_wrapper_attr("total_steps") if env.has_wrapper_attr("total_steps") else 0
    return seed_from(env.unwrapped.np_random.bit_generator.state, steps)


def seed_from(*where_it_stands: Any) -> int:
    """A seed in [0, 2**32) from values whose repr is exact."""
    return int.from_bytes(hashlib.sha256(repr(where_it_stands).encode()).digest()[:4], "little")


def as_text(arguments: Any) -> dict[str, str]:
    """Arguments as text; objects by class and callables by name, since their repr holds an address."""
    return {
        name: getattr(value, "__qualname__", "") or (repr(value) if _is_plain(value) else class_name(value))
        for name, value in arguments.items()
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str | bytes)
