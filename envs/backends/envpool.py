"""EnvPool (an extra): Gymnasium's classic control, MuJoCo and Atari in C++, by one worker thread or several.

It is another build of the same environments: its MuJoCo is 3.6.0, CartPole computes in double precision, initial states
come from other generators. On Atari it starts with 1 to noop_max no-ops, as the wrappers of envs.atari do, and its
frames are theirs, except the last one of a game.
"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from ..atari import AtariProtocol
from ..mujoco import is_mujoco
from ..noise import NoiseLevels
from ..single import EnvOptions, make_env
from .pool import OUT_OF_REACH, SEED_BITS, EngineStep, PoolVecEnv

CLASSIC = ("CartPole-v1", "Pendulum-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1")


class EnvPoolVecEnv(PoolVecEnv):
    """N environments of one EnvPool, of options that it does not lack."""

    state_kind = "envpool"

    def __init__(self, options: EnvOptions, n_envs: int) -> None:
        import envpool

        task = pool_task(options)
        config: dict[str, Any] = {"max_episode_steps": OUT_OF_REACH, **options.env_kwargs}
        if options.atari is not None:
            config |= _atari_config(options.atari)
        self._make = partial(envpool.make_gymnasium, task, num_envs=n_envs, num_threads=options.num_threads, **config)
        # Gymnasium's own spaces, as EnvPool's differ in precision: a model must fit whatever backend it was trained on.
        twin = make_env(replace(options, noise=NoiseLevels(), monitor_dir=None), 0)
        super().__init__(None, options, n_envs, twin.observation_space, twin.action_space)
        twin.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the pool, which all rows share; there is a pool from the first reset on."""
        if attr_name == "render_mode":  # SB3 asks before that
            return [None for _ in self._get_indices(indices)]
        return super().get_attr(attr_name, indices)

    def _start(self, seeds: list[int | None]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        # A pool takes its seeds when it is made, and making one loads N games: not before they are known.
        if self.vector is None or any(seed is not None for seed in seeds):
            entropy = np.random.default_rng().integers(OUT_OF_REACH, size=self.num_envs).tolist()
            drawn = [other if seed is None else seed & SEED_BITS for seed, other in zip(seeds, entropy, strict=True)]
            self._close_pool()
            self.vector = self._make(seed=0, env_seed=drawn)
        with warnings.catch_warnings():  # a new pool makes its spaces on first use
            warnings.filterwarnings("ignore", message=".*precision lowered", category=UserWarning)
            observations, info = self.vector.reset()
        return self._with_blank_frames(observations, np.zeros(self.num_envs, np.int64)), _told(info)

    def _advance(self, actions: np.ndarray) -> EngineStep:
        observations, rewards, terminated, _, info = self.vector.step(actions)
        observations = self._with_blank_frames(observations, self.book.lengths + 1)
        return EngineStep(observations, rewards, terminated, _told(info))

    def _restart(self, rows: np.ndarray, observations: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        first, info = self.vector.reset(rows.astype(np.int32))
        observations = observations.copy()
        observations[rows] = self._with_blank_frames(first, np.zeros(len(rows), np.int64))
        return observations, _told(info)

    def _with_blank_frames(self, observations: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """Zeros before the first frame of a game, which EnvPool repeats there; `ages` are steps since its start."""
        if self.rules is not None:
            missing = self.rules.frame_stack - 1 - ages
            for row in np.flatnonzero(missing > 0).tolist():
                observations[row, : missing[row]] = 0
        return observations

    def _close_pool(self) -> None:
        """End its threads."""
        if self.vector is not None:
            self.vector.close()
            self.vector = None

    def close(self) -> None:
        """Close the pool and the monitor files."""
        self._close_pool()
        self.book.close()


def lacks(options: EnvOptions) -> str | None:
    """What of these options EnvPool does not have; None if it has it all. ImportError if it is not installed."""
    if importlib.util.find_spec("envpool") is None:
        raise ImportError("backend='envpool' needs envpool: pip install 'mirrorzoo[envpool]'", name="envpool")
    import envpool

    spec, rules = options.spec, options.atari
    known = rules is not None or spec.id in CLASSIC or is_mujoco(spec)
    if not known or pool_task(options) not in envpool.list_all_envs():
        return spec.id
    if options.render_mode is not None:
        return f"render_mode {options.render_mode!r}"
    if rules is None and options.frame_stack is not None:
        return f"{spec.id} with stacked frames"
    if rules is not None and rules.fire_reset:
        return "fire_reset"
    if rules is not None and rules.noop_max == 0:  # it would crash
        return "games without no-ops (noop_max=0)"
    theirs = envpool.make_spec(pool_task(options)).config._asdict()
    unknown = [name for name in options.env_kwargs if name not in theirs or rules is not None]
    return f"env_kwargs {unknown}" if unknown else None


def pool_task(options: EnvOptions) -> str:
    """EnvPool's name of the environment."""
    spec = options.spec
    return f"{spec.name.removesuffix('NoFrameskip')}-v5" if options.atari is not None else spec.id


def _atari_config(rules: AtariProtocol) -> dict[str, Any]:
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


def _told(info: dict[str, Any]) -> dict[str, np.ndarray]:
    """What EnvPool says of the environments, without its own bookkeeping."""
    return {key: values for key, values in info.items() if key not in ("env_id", "players", "ram", "elapsed_step")}
