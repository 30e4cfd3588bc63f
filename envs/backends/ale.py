"""Atari by ale_py's own AtariVectorEnv: emulation and preprocessing in C++, by one worker thread or several.

Frames, rewards and ends of games are those of envs.atari's wrappers to the bit, from the same emulator state. What
differs: a game starts with 0 to noop_max - 1 no-ops (there 1 to noop_max), and the number is drawn by another
generator; emulators are seeded with 31 bits (there 32), so half of all seeds give other sticky actions.
"""

from __future__ import annotations

import numpy as np
from gymnasium.vector import AutoresetMode

from ..single import EnvOptions
from .pool import OUT_OF_REACH, SEED_BITS, EngineStep, PoolVecEnv


def lacks(options: EnvOptions) -> str | None:
    """What of these options AtariVectorEnv does not have; None if it has it all."""
    if options.atari is None:
        return options.spec.id
    if options.env_kwargs:
        return f"env_kwargs {sorted(options.env_kwargs)}"
    if options.render_mode is not None:
        return f"render_mode {options.render_mode!r}"
    return "fire_reset" if options.atari.fire_reset else None


class AleVecEnv(PoolVecEnv):
    """N games of one AtariVectorEnv, of options that it does not lack."""

    state_kind = "ale"

    def __init__(self, options: EnvOptions, n_envs: int) -> None:
        from ale_py.vector_env import AtariVectorEnv

        rules = options.atari
        assert rules is not None
        # NEXT_STEP: SAME_STEP would allocate a second batch of frames at every step, and leave rows of it unwritten.
        vector = AtariVectorEnv(
            options.spec.kwargs["game"],
            n_envs,
            num_threads=options.num_threads,
            max_num_frames_per_episode=OUT_OF_REACH,
            repeat_action_probability=rules.sticky,
            full_action_space=rules.full_action_space,
            autoreset_mode=AutoresetMode.NEXT_STEP,
            img_height=rules.screen_size,
            img_width=rules.screen_size,
            stack_num=rules.frame_stack,
            frameskip=rules.frame_skip,
            maxpool=rules.frame_skip > 1,
            noop_max=rules.noop_max,
            episodic_life=False,  # it would restart the whole game, not go on with the next life
            reward_clipping=False,
            use_fire_reset=False,
        )
        super().__init__(vector, options, n_envs, vector.single_observation_space, vector.single_action_space)
        self._seeded = False

    def _start(self, seeds: list[int | None]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        # Left to itself, the engine seeds all emulators with the same second of the clock.
        drawn = [emulator_seed(seed) if seed is not None or not self._seeded else -1 for seed in seeds]
        self._seeded = True
        return self.vector.reset(seed=np.array(drawn))

    def _advance(self, actions: np.ndarray) -> EngineStep:
        observations, rewards, terminated, _, info = self.vector.step(actions)
        return EngineStep(observations, rewards, terminated, info)

    def _restart(self, rows: np.ndarray, observations: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        mask = np.zeros(self.num_envs, bool)
        mask[rows] = True
        observations, info = self.vector.reset(options={"reset_mask": mask})
        return observations, {key: values[rows] for key, values in info.items()}


def emulator_seed(seed: int | None) -> int:
    """The seed that ale_py's AtariEnv gives its emulator, but for the sign bit; from entropy for None."""
    return int(np.random.SeedSequence(seed).generate_state(2)[1]) & SEED_BITS
