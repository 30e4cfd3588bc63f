"""What published scripts expect of libraries that have moved on: Gymnasium 0.29, Gym 0.23, EnvPool 0.6, TensorDict 0.5.

So a script runs untouched beside today's versions, those of every other contender. Where the installed version is
still the former one, nothing is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

LONGEST_COMPILED = 512  # rollout steps


def restore(imported: Collection[str], n_steps: int, counted: Callable[..., Any]) -> None:
    """Put back what a script with these imports looks for; `counted` wraps the step of an EnvPool."""
    if "gymnasium" in imported:
        gymnasium_wrappers()
    if "cleanrl_utils" in imported:  # its wrappers for Atari, which Gymnasium 0.29 registered by itself
        import ale_py
        import gymnasium

        gymnasium.register_envs(ale_py)
    if "envpool" in imported:
        old_envpool(counted)
    if "tensordict" in imported:
        detached_to_module()
        if n_steps > LONGEST_COMPILED:
            leave_unrolled_loops_eager()


def _major(distribution: str) -> int:
    return int(version(distribution).partition(".")[0])


def gymnasium_wrappers() -> None:
    """Names and arguments of wrappers before Gymnasium 1."""
    if _major("gymnasium") < 1:
        return
    from gymnasium import wrappers

    class TransformObservation(wrappers.TransformObservation):
        """The space need not be given."""

        def __init__(self, env: Any, f: Callable[[Any], Any]) -> None:
            super().__init__(env, f, None)

    former: Any = wrappers
    former.TransformObservation = TransformObservation
    former.GrayScaleObservation = wrappers.GrayscaleObservation
    former.FrameStack = wrappers.FrameStackObservation


class Wrapper:
    """Gym's."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def reset(self, **kwargs: Any) -> Any:
        """The first observations."""
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """Four values."""
        return self.env.step(action)


class GymEnvPool(Wrapper):
    """An EnvPool by Gym's interface: no infos from reset, one `done`."""

    def __init__(self, env: Any, counted: Callable[..., Any]) -> None:
        super().__init__(env)
        self._step = counted(env.step)

    def reset(self, **kwargs: Any) -> Any:
        """Without infos."""
        return self.env.reset(**kwargs)[0]

    def step(self, action: Any) -> Any:
        """Terminated or truncated is done."""
        observations, rewards, terminated, truncated, infos = self._step(action)
        return observations, rewards, terminated | truncated, infos


def old_envpool(counted: Callable[..., Any]) -> None:
    """`envpool.make` returns Gym's interface, and `import gym` finds what the scripts use of it."""
    import envpool
    import gymnasium

    make = envpool.make
    if _major("envpool") < 1:

        def make_counted(*args: Any, **kwargs: Any) -> Any:
            env = make(*args, **kwargs)
            env.step = counted(env.step)
            return env

        envpool.make = make_counted
        return

    def make_gym(*args: Any, **kwargs: Any) -> GymEnvPool:
        return GymEnvPool(make(*args, **kwargs | {"env_type": "gymnasium"}), counted)

    envpool.make = make_gym
    gym: Any = ModuleType("gym")
    gym.Wrapper, gym.spaces = Wrapper, gymnasium.spaces
    sys.modules["gym"] = gym


def detached_to_module() -> None:
    """Parameters that come from tensors without gradients have none either, as before TensorDict 0.6."""
    from tensordict import TensorDict

    to_module = TensorDict.to_module

    def without_gradients(self: Any, module: Any, *args: Any, **kwargs: Any) -> Any:
        result = to_module(self, module, *args, **kwargs)
        if not any(value.requires_grad for value in self.values(True, True)):
            module.requires_grad_(False)
        return result

    TensorDict.to_module = without_gradients


def leave_unrolled_loops_eager() -> None:
    """Don't compile a function that insists on one graph: GAE, whose loop over the rollout takes minutes to unroll."""
    torch: Any = import_module("torch")
    compile_any = torch.compile

    def compile_other(function: Any, *args: Any, fullgraph: bool = False, **kwargs: Any) -> Any:
        return function if fullgraph else compile_any(function, *args, **kwargs)

    torch.compile = compile_other
