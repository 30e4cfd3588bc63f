"""From the id that a user typed to Gymnasium's specification, or an error that says what to do."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import ENV_ID_RE, EnvSpec, find_highest_version, load_env_creator, parse_env_id

from .checks import closest
from .mujoco import is_mujoco

# module prefix of the entry point -> package it needs, what to install
_NEEDS = {
    "ale_py": ("ale_py", "ale-py"),
    "gymnasium.envs.mujoco": ("mujoco", '"mujoco>=3.6,<4"'),
    "gymnasium.envs.box2d": ("Box2D", '"gymnasium[box2d]"'),
    "gymnasium.envs.phys2d": ("jax", '"gymnasium[jax]"'),
    "gymnasium.envs.tabular": ("jax", '"gymnasium[jax]"'),
}


def resolve_id(env_id: str, allow_deprecated: bool = False) -> EnvSpec:
    """The specification behind an environment id.

    Raises:
        ValueError: not an id, unknown (the closest one is named), or out of date and not `allow_deprecated`. MuJoCo -v4
            ids only warn.
        ImportError: the package behind it is not installed; the message says what to install.
    """
    if not isinstance(env_id, str) or ":" in env_id or not ENV_ID_RE.fullmatch(env_id):
        raise ValueError(f"env={env_id!r}: not an environment id, which has the form [namespace/]Name-vN")
    if env_id not in gymnasium.registry:
        _register_atari()
    if env_id not in gymnasium.registry:
        if env_id.startswith("ALE/") or "NoFrameskip-v" in env_id:
            _require("ale_py", "ale-py", env_id)
        raise ValueError(f"env={env_id!r}: unknown environment{closest(env_id, list_ids())}")
    spec = gymnasium.registry[env_id]
    _check_version(spec, allow_deprecated)
    for prefix, (package, install) in _NEEDS.items():
        if _module_of(spec).startswith(prefix):
            _require(package, install, env_id)
    return spec


def list_ids() -> list[str]:
    """All ids that are up to date: ours, Gymnasium's and, if ale_py is installed, Atari's, sorted."""
    _register_atari()
    return sorted(spec.id for spec in gymnasium.registry.values() if not _newer_version(spec) and _is_usable(spec))


def check_env_kwargs(env_id: str, kwargs: Mapping[str, Any] | None) -> None:
    """Whether the environment takes these keyword arguments; ValueError naming those that it does take."""
    if not kwargs:
        return
    if "render_mode" in kwargs:
        raise ValueError("env_kwargs: render_mode is an argument of make_vec itself; evaluate.py renders with --video")
    spec = resolve_id(env_id, allow_deprecated=True)
    names = _parameters(spec)
    if names is None:
        return
    for key in kwargs:
        if key not in names:
            raise ValueError(
                f"env_kwargs: {env_id} has no parameter {key!r}{closest(key, names)} "
                f"(its parameters: {', '.join(sorted(names)) or 'none'})"
            )


def _parameters(spec: EnvSpec) -> set[str] | None:
    """Names of the constructor's parameters; None if it takes any keyword."""
    creator: Any = spec.entry_point if callable(spec.entry_point) else load_env_creator(str(spec.entry_point))
    functions = [creator]
    if inspect.isclass(creator):  # a constructor with **kwargs hands them to the next class, as MuJoCo's do
        functions = [vars(cls)["__init__"] for cls in creator.__mro__ if "__init__" in vars(cls)]
    names: set[str] = set()
    for function in functions:
        parameters = inspect.signature(function).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names - {"self"}
    return None


def _check_version(spec: EnvSpec, allow_deprecated: bool) -> None:
    newest = _newer_version(spec)
    if newest is None or allow_deprecated:
        return
    if is_mujoco(spec) and spec.version == 4:
        message = f"{spec.id} is out of date: {newest} fixes its known faults, and scores of the two differ"
        warnings.warn(message, stacklevel=3)
        return
    raise ValueError(f"env={spec.id!r}: out of date, use {newest!r} (or allow deprecated ids)")


def _newer_version(spec: EnvSpec) -> str | None:
    """The id of the newest version if it is not this one."""
    namespace, name, version = parse_env_id(spec.id)
    newest = find_highest_version(namespace, name)
    if version is None or newest is None or newest <= version:
        return None
    return f"{namespace}/{name}-v{newest}" if namespace else f"{name}-v{newest}"


def _is_usable(spec: EnvSpec) -> bool:
    """Not a stand-in for a package that is gone (those live in gymnasium.envs itself), nor of random frame skip."""
    return _module_of(spec) != "gymnasium.envs" and not isinstance(spec.kwargs.get("frameskip"), tuple)


def _module_of(spec: EnvSpec) -> str:
    """Module of the entry point."""
    entry_point: Any = spec.entry_point
    return entry_point.__module__ if callable(entry_point) else str(entry_point).partition(":")[0]


def _register_atari() -> None:
    """Importing ale_py registers its ids."""
    with contextlib.suppress(ImportError):
        import ale_py  # noqa: F401


def _require(package: str, install: str, env_id: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ImportError(f"env={env_id!r} needs the package {package}: pip install {install}", name=package)
