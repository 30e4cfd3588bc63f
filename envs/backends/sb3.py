"""SB3's own vector environments, stepped as SB3 steps them, which also offer the array step."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common import vec_env

from ..state import StatefulEnvs, StatefulProcesses
from .arrays import KeepsInfos, StepArrays


class DummyVecEnv(KeepsInfos, StatefulEnvs, vec_env.DummyVecEnv):
    """SB3's DummyVecEnv."""

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`."""
        return self._step_by_infos(self, actions)


class SubprocVecEnv(KeepsInfos, StatefulProcesses):
    """SB3's SubprocVecEnv: one process per environment, started by forkserver or spawn, never by a bare fork."""

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`."""
        return self._step_by_infos(self, actions)
