"""Gymnasium's MuJoCo tasks: physics one environment after the other, everything else on arrays.

The environments are Gymnasium's own, and reset as always. A step writes the controls and calls `mj_step`; observations,
rewards, ends, time limit, records and noise are then computed for all rows at once, equal to the bit to what
Gymnasium's classes and wrappers compute. Left out: `mj_rnePostConstraint` where nothing of it is observed (so
`data.cfrc_ext`, `cfrc_int` and `cacc` are not filled in), and `info` until somebody asks for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.wrappers import TimeLimit

from ..noise import NoiseLevels
from ..noise_arrays import ArrayNoise
from ..recorder import EpisodeRecorder
from ..single import EnvOptions
from ..state.decode import Decoder
from ..state.encode import Encoder
from ..state.environment import require_equal
from .arrays import NO_EPISODES, StepArrays
from .batched import EpisodeBook
from .inprocess import InProcessVecEnv
from .mujoco_runners import Ant, HalfCheetah, Hopper, Swimmer, Walker2d
from .mujoco_tasks import InvertedPendulum, Task

TASKS: dict[str, type[Task]] = {  # by entry point
    "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv": HalfCheetah,
    "gymnasium.envs.mujoco.swimmer_v5:SwimmerEnv": Swimmer,
    "gymnasium.envs.mujoco.walker2d_v5:Walker2dEnv": Walker2d,
    "gymnasium.envs.mujoco.hopper_v5:HopperEnv": Hopper,
    "gymnasium.envs.mujoco.ant_v5:AntEnv": Ant,
    "gymnasium.envs.mujoco.inverted_pendulum_v5:InvertedPendulumEnv": InvertedPendulum,
}


def steps_as_arrays(options: EnvOptions) -> bool:
    """Whether these environments are of a class in TASKS, as Gymnasium wraps it, and draw no window at each step."""
    spec = options.spec
    plain = not spec.additional_wrappers and options.frame_stack is None and options.render_mode != "human"
    return plain and isinstance(spec.entry_point, str) and spec.entry_point in TASKS


class MujocoVecEnv(InProcessVecEnv):
    """N environments of one task, for options of which `steps_as_arrays` holds."""

    state_kind = "mujoco"  # noise is not in the wrappers here, so states don't move to other backends

    def __init__(self, options: EnvOptions, n_envs: int) -> None:
        super().__init__(replace(options, noise=NoiseLevels()).env_fns(n_envs))
        self.task = TASKS[str(options.spec.entry_point)]([env.unwrapped for env in self.envs])
        self.noise = ArrayNoise(options.noise, n_envs, self.action_space)
        self.observation_space = self.noise.observation_space(self.observation_space)
        self.options, self.book = options, RecorderBook(options, self.envs)
        self._time_limit = options.max_episode_steps or options.spec.max_episode_steps or np.inf
        self._shape = (n_envs, *self.action_space.shape)  # type: ignore[misc]

    def reset(self) -> np.ndarray:
        """Start N episodes; a pending seed also seeds the noise."""
        seeded = self._seeds[0] is not None
        observations = super().reset()
        if seeded:
            self.noise.reseed(self.envs[0].np_random.spawn(1)[0])
        self.noise.restart()
        self.book.restart()
        self.task.read_parameters()
        return self.noise.observations(observations)  # type: ignore[arg-type]

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`."""
        if actions.shape != self._shape:
            raise ValueError(f"actions of shape {actions.shape}: must be {self._shape}")
        noise, task, mj_step = self.noise, self.task, mujoco.mj_step
        actions = noise.executed(actions)
        n_substeps = task.frame_skip
        task.begin(actions)
        for model, data in task.simulators:
            mj_step(model, data, n_substeps)
            if task.needs_contact_forces:
                mujoco.mj_rnePostConstraint(model, data)
        observations, rewards, terminated = task.end(actions, self.book.returns)
        self.book.count()
        if self.book.longest < self._time_limit and not (task.can_terminate and np.count_nonzero(terminated)):
            rewards, observations = noise.rewards(rewards, terminated), noise.observations(observations)
            truncated = np.zeros(self.num_envs, bool)
            return StepArrays(observations, rewards, terminated, truncated, observations, *NO_EPISODES)
        truncated = (self.book.lengths >= self._time_limit) & ~terminated
        ended = terminated | truncated
        rewards = noise.rewards(rewards, ended)
        rows = np.flatnonzero(ended)
        episodes = self.book.finish(rows)
        final, observations = observations, observations.copy()
        for row in rows.tolist():
            observations[row], self.reset_infos[row] = self.envs[row].reset()
        noise.restart(rows)
        final, observations = noise.observations(final), noise.observations(observations)
        return StepArrays(observations, rewards, terminated, truncated, final, *episodes)

    def _last_infos(self) -> list[dict[str, Any]]:
        return [self.task.info(row) | record for row, record in enumerate(self.book.infos())]

    def _save(self) -> dict[str, Any]:
        self.book.tell_wrappers()
        noise = Encoder().attributes(self, ("noise",), "venv")
        return super()._save() | {"levels": repr(self.noise.levels), "noise": noise}

    def _load(self, state: dict[str, Any]) -> None:
        require_equal("noise", state["levels"], repr(self.noise.levels))
        super()._load(state)
        self.book.ask_wrappers()
        self.task.read_parameters()
        Decoder().attributes(state["noise"], self, "venv")

    def env_method(self, *args: Any, **kwargs: Any) -> list[Any]:
        """As in SB3. ValueError if the environments' parameters differ afterwards."""
        results = super().env_method(*args, **kwargs)
        self.task.read_parameters()
        return results


class RecorderBook(EpisodeBook):
    """Episodes kept in arrays, and taken down at their ends by the environments' own recorders."""

    def __init__(self, options: EnvOptions, envs: list[gymnasium.Env]) -> None:
        super().__init__(replace(options, monitor_dir=None), len(envs))  # the recorders write the monitor files
        self.recorders: list[EpisodeRecorder] = [_wrapper(env, EpisodeRecorder) for env in envs]
        self.limits: list[TimeLimit | None] = [_wrapper(env, TimeLimit) for env in envs]

    def _record(self, row: int, episode_return: float, length: int) -> dict[str, Any]:
        return self.recorders[row].record(episode_return, length)

    def tell_wrappers(self) -> None:
        """Bring recorders and time limits, which saw no step, to where the episodes are."""
        for recorder, limit, episode_return, length in zip(
            self.recorders, self.limits, self.returns.tolist(), self.lengths.tolist(), strict=True
        ):
            recorder._return, recorder._length, recorder.total_steps = episode_return, length, self.total_steps
            if limit is not None:
                limit._elapsed_steps = length

    def ask_wrappers(self) -> None:
        """The reverse."""
        self.total_steps = self.recorders[0].total_steps
        self.returns[:] = [recorder._return for recorder in self.recorders]
        self._begun[:] = [self.total_steps - recorder._length for recorder in self.recorders]
        self._oldest = int(self._begun.min())


def _wrapper(env: Any, kind: type) -> Any:
    """The outermost wrapper of this class; None if there is none."""
    while not isinstance(env, kind):
        if env is env.unwrapped:
            return None
        env = env.env
    return env
