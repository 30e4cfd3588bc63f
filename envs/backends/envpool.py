"""EnvPool (an extra): Gymnasium's classic control, MuJoCo and Atari in C++, one worker thread.

It is another build of the same environments: its MuJoCo is 3.6.0, CartPole computes in double precision, initial states
come from other generators. On Atari it starts with 1 to noop_max no-ops, as the wrappers of envs.atari do, and its
frames are theirs, except the last one of a game.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from ..atari import AtariProtocol
from ..mujoco import is_mujoco
from ..single import EnvOptions
from .pool import OUT_OF_REACH, EngineStep, PoolVecEnv

CLASSIC = ("CartPole-v1", "Pendulum-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1")


class EnvPoolVecEnv(PoolVecEnv):
    """N environments of one EnvPool.

    Raises:
        ImportError: EnvPool is not installed.
        ValueError: it does not have the id, or something that is asked of it.
    """

    def __init__(self, options: EnvOptions, n_envs: int) -> None:
        if importlib.util.find_spec("envpool") is None:
            raise ImportError("backend='envpool' needs envpool: pip install 'mirrorzoo[envpool]'", name="envpool")
        task, config = pool_task(options), pool_config(options)
        self._make = partial(_quietly, "make_gymnasium", task, num_envs=n_envs, num_threads=1, **config)
        spec = _quietly("make_spec", task, num_envs=n_envs, **config)
        action_space = spec.gymnasium_action_space
        super().__init__(None, options, n_envs, spec.gymnasium_observation_space, action_space)
        self._action_dtype = np.int32 if isinstance(action_space, gymnasium.spaces.Discrete) else action_space.dtype
        self._info: dict[str, Any] = {}

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the pool, which all rows share; there is a pool from the first reset on."""
        if attr_name == "render_mode":  # SB3 asks before that
            return [None for _ in self._get_indices(indices)]
        return super().get_attr(attr_name, indices)

    def _start(self, seeds: list[int | None]) -> tuple[np.ndarray, np.ndarray | None]:
        # A pool takes its seeds when it is made, and making one loads N games: not before they are known.
        if self.vector is None or any(seed is not None for seed in seeds):
            drawn = [np.random.SeedSequence().entropy if seed is None else seed for seed in seeds]
            self.close_pool()
            self.vector = self._make(seed=0, env_seed=[int(seed) & OUT_OF_REACH for seed in drawn])
        observations, info = self.vector.reset()
        return self._with_blank_frames(observations, np.zeros(self.num_envs, np.int64)), info.get("lives")

    def _advance(self, actions: np.ndarray) -> EngineStep:
        observations, rewards, terminated, _, self._info = self.vector.step(actions.astype(self._action_dtype))
        observations = self._with_blank_frames(observations, self.book.lengths + 1)
        return EngineStep(observations, rewards, terminated, self._info.get("lives"))

    def _restart(self, rows: np.ndarray, step: EngineStep) -> tuple[np.ndarray, np.ndarray | None]:
        first, info = self.vector.reset(rows.astype(np.int32))
        observations, lives = step.observations.copy(), step.lives
        observations[rows] = self._with_blank_frames(first, np.zeros(len(rows), np.int64))
        if lives is not None:
            lives = lives.copy()
            lives[rows] = info["lives"]
        return observations, lives

    def _with_blank_frames(self, observations: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """Zeros before the first frame of a game, which EnvPool repeats there; `ages` are steps since its start."""
        if self.rules is not None:
            missing = self.rules.frame_stack - 1 - ages
            for row in np.flatnonzero(missing > 0).tolist():
                observations[row, : missing[row]] = 0
        return observations

    def _last_infos(self) -> list[dict[str, Any]]:
        infos = super()._last_infos()
        for key, values in self._info.items():
            if isinstance(values, np.ndarray) and len(values) == self.num_envs and key not in ("env_id", "ram"):
                for info, value in zip(infos, values, strict=True):
                    info[key] = value
        return infos

    def close_pool(self) -> None:
        """End its threads."""
        if self.vector is not None:
            self.vector.close()
            self.vector = None

    def close(self) -> None:
        """Close the pool and the monitor files."""
        self.close_pool()
        self.book.close()


def pool_task(options: EnvOptions) -> str:
    """EnvPool's name of the environment. ValueError if it has none, or lacks something of the options."""
    import envpool

    spec = options.spec
    task = spec.id
    if options.atari is not None:
        task = f"{spec.name.removesuffix('NoFrameskip')}-v5"
    known = options.atari is not None or spec.id in CLASSIC or is_mujoco(spec)
    missing = None
    if not known or task not in envpool.list_all_envs():
        missing = spec.id
    elif options.render_mode is not None:
        missing = f"render_mode {options.render_mode!r}"
    elif options.atari is None and options.frame_stack is not None:
        missing = f"frame_stack for {spec.id}"
    elif options.atari is not None and options.atari.fire_reset:
        missing = "fire_reset as envs.atari has it"
    elif options.atari is not None and options.atari.noop_max == 0:
        missing = "games without no-ops (noop_max=0)"
    if missing:
        raise ValueError(f"backend='envpool' has no {missing}; backends that do: inprocess, dummy, subproc")
    return task


def pool_config(options: EnvOptions) -> dict[str, Any]:
    """EnvPool's arguments. ValueError for a constructor argument that it does not have."""
    config: dict[str, Any] = {"max_episode_steps": OUT_OF_REACH}
    if options.atari is not None:
        config |= _atari_config(options.atari)
    known = _quietly("make_spec", pool_task(options)).config._asdict().keys() if options.env_kwargs else ()
    for name in options.env_kwargs:
        if name not in known or name in config:
            raise ValueError(f"env_kwargs: backend='envpool' has no {name!r} of {options.spec.id}")
    return config | dict(options.env_kwargs)


def _atari_config(rules: AtariProtocol) -> Mapping[str, Any]:
    return {
        "frame_skip": rules.frame_skip,
        "repeat_action_probability": rules.sticky,
        "noop_max": rules.noop_max,
        "full_action_space": rules.full_action_space,
        "stack_num": rules.frame_stack,
        "img_height": rules.screen_size,
        "img_width": rules.screen_size,
        "use_fire_reset": False,
        "episodic_life": False,  # lives are counted in arrays, as everywhere
        "reward_clip": False,
    }


def _quietly(function: str, *args: Any, **kwargs: Any) -> Any:
    """Call EnvPool without Gymnasium's warnings on the precision of its spaces."""
    import envpool

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered.*", category=UserWarning)
        return getattr(envpool, function)(*args, **kwargs)
