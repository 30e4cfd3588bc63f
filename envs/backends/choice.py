"""Which backend steps an environment: the names, what each of them lacks, and what "auto" picks."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import gymnasium
from stable_baselines3.common.vec_env import VecEnv

from ..checks import closest
from ..mujoco import is_mujoco
from ..single import EnvOptions
from . import ale, envpool, native
from .ale import AleVecEnv
from .envpool import EnvPoolVecEnv
from .inprocess import InProcessVecEnv
from .native import NativeVecEnv
from .sb3 import DummyVecEnv, SubprocVecEnv

INEXACT = ("ale", "envpool")  # engines that don't give out their state
BACKENDS = ("auto", "native", "inprocess", "ale", "envpool", "dummy", "subproc")

# Environments from which CartPole's array step is cheaper than stepping one by one: results/speed/envs.csv.
NATIVE_PAYS_FROM = 4


def make_backend(backend: str, options: EnvOptions, n_envs: int) -> VecEnv:
    """N environments by the backend of that name.

    Raises:
        ValueError: not a backend, or one that lacks something of the options; the message says which have it.
        ImportError: the backend's package is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}: must be one of {', '.join(BACKENDS)}{closest(backend, BACKENDS)}")
    if backend == "auto":
        backend = _cheapest(options, n_envs)
    if missing := _lacks(backend, options):
        others = ", ".join(name for name in BACKENDS if name != "auto" and _has(name, options))
        raise ValueError(f"backend={backend!r} has no {missing}; backends that do: {others}")
    if backend == "native":
        return NativeVecEnv(options, n_envs)
    if backend == "ale":
        return AleVecEnv(options, n_envs)
    if backend == "envpool":
        return EnvPoolVecEnv(options, n_envs)
    if backend == "dummy":
        return DummyVecEnv(options.env_fns(n_envs))
    if backend == "subproc":
        return SubprocVecEnv([partial(_without_interrupt, make) for make in options.env_fns(n_envs)])
    if is_mujoco(options.spec):
        from .mujoco import MujocoVecEnv, steps_as_arrays

        if steps_as_arrays(options):
            return MujocoVecEnv(options, n_envs)
    return InProcessVecEnv(options.env_fns(n_envs))


def _without_interrupt(make: Callable[[], gymnasium.Env]) -> gymnasium.Env:
    """In a worker: Ctrl-C reaches all processes of a terminal, and is for the one that trains to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return make()


def _cheapest(options: EnvOptions, n_envs: int) -> str:
    if n_envs >= NATIVE_PAYS_FROM and not options.render_mode and not native.lacks(options):
        return "native"
    return "inprocess" if _lacks("ale", options) else "ale"


def _lacks(backend: str, options: EnvOptions) -> str | None:
    """What a backend does not have of what is asked; None if it has it all. ImportError if it is not installed."""
    if options.exact and backend in INEXACT:
        return "exact state"
    modules = {"native": native, "ale": ale, "envpool": envpool}
    return modules[backend].lacks(options) if backend in modules else None


def _has(backend: str, options: EnvOptions) -> bool:
    try:
        return _lacks(backend, options) is None
    except ImportError:
        return False
