"""One environment: from the options of `make_vec` to the chain of wrappers that a backend steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import FrameStackObservation

from .atari import AtariProtocol, make_game, shape_for_training
from .mujoco import is_mujoco, quiet_deprecations
from .noise import NoiseLevels
from .noise_wrappers import add_noise
from .recorder import EpisodeRecorder


@dataclass(frozen=True)
class EnvOptions:
    """What one environment is; `make_vec` has checked it, worker processes get it as it is."""

    spec: EnvSpec
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    frame_stack: int | None = None
    max_episode_steps: int | None = None
    render_mode: str | None = None
    atari: AtariProtocol | None = None
    monitor_dir: str | None = None
    exact: bool = False  # only what can save its state
    num_threads: int = 1  # of an engine that steps its environments by threads

    def env_fns(self, n_envs: int) -> list[Callable[[], gymnasium.Env]]:
        """A constructor per environment."""
        return [partial(make_env, self, index) for index in range(n_envs)]


def brings_own_noise(spec: EnvSpec) -> bool:
    """Whether the id takes noise levels as its own arguments, and has its recorder inside that noise."""
    return any(wrapper.name == "own_noise" for wrapper in spec.additional_wrappers)


def make_env(options: EnvOptions, index: int) -> gymnasium.Env:
    """Environment number `index`: the task, a recorder around it, then whatever alters what training sees."""
    if options.atari is not None:
        game = make_game(options.spec, options.atari, options.env_kwargs, options.render_mode, options.exact)
        env = shape_for_training(game, options.atari)
    else:
        kwargs = dict(options.env_kwargs)
        if options.render_mode is not None:  # not every environment takes one
            kwargs["render_mode"] = options.render_mode
        with quiet_deprecations() if is_mujoco(options.spec) else nullcontext():
            env = gymnasium.make(options.spec, max_episode_steps=options.max_episode_steps, **kwargs)
        if not brings_own_noise(options.spec):
            env = EpisodeRecorder(env)
    env = add_noise(env, options.noise)
    if options.frame_stack is not None and options.atari is None:
        # Zeros before the first frame, as SB3's VecFrameStack and ALE's own vector environment have them.
        env = FrameStackObservation(env, options.frame_stack, padding_type="zero")
    if options.monitor_dir is not None:
        env.get_wrapper_attr("write_to")(Path(options.monitor_dir) / str(index))
    return env
