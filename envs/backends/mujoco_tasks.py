"""What Gymnasium's MuJoCo tasks compute after a step, for N environments at once and to the bit.

Each class stands for one class of Gymnasium, reads the same parameters from the built environments, and uses the same
operations in the same order and precision: the control cost, for instance, is summed in the float32 of the actions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

Outcome = tuple[np.ndarray, np.ndarray, np.ndarray]  # observations [N, D] float64, rewards [N] float32, terminated [N]


class Task(ABC):
    """N environments of one class: `begin`, then one `mj_step` per environment, then `end`.

    Args:
        envs: the unwrapped environments, whose simulators the caller steps.
    """

    parameters: tuple[str, ...] = ()  # attributes of the environments, which become attributes here
    views = "simulators", "addresses", "_controls", "_sources", "_places", "_force_sources"  # what `look` makes
    addresses: np.ndarray  # [N, 3] of positions, velocities and controls, float64 numbers in the simulators
    can_terminate = True
    needs_contact_forces = False  # what mj_rnePostConstraint computes; the physics does not depend on it
    dt: float
    frame_skip: int

    def __init__(self, envs: Sequence[Any]) -> None:
        self.envs = envs
        self.n_positions = envs[0].data.qpos.size
        self.states = np.empty((len(envs), self.n_positions + envs[0].data.qvel.size))  # [N, S] after the last step
        self.read_parameters()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy looks into the simulators of the copied environments, which Gymnasium makes anew."""
        vars(self).update(state)
        self.look()

    def look(self) -> None:
        """Make the views into the simulators of the environments."""
        data = [env.data for env in self.envs]
        self.simulators = [(env.model, env.data) for env in self.envs]
        self._controls = [d.ctrl for d in data]
        self._sources = [array for d in data for array in (d.qpos, d.qvel)]
        self.addresses = np.array([[view.ctypes.data for view in (d.qpos, d.qvel, d.ctrl)] for d in data])

    def read_parameters(self) -> None:
        """Take weights, limits and the like from the environments, and look into their simulators anew.

        ValueError if they are not all alike.
        """
        self.look()
        for name in ("dt", "frame_skip", *self.parameters):
            values = [getattr(env, name) for env in self.envs]
            if any(value != values[0] for value in values):
                raise ValueError(f"{name}: environments stepped as arrays must share it, use backend='dummy'")
            setattr(self, name, values[0])

    def begin(self, actions: np.ndarray) -> None:
        """Before the physics is stepped: write the controls from `actions` [N, A]."""
        for control, action in zip(self._controls, actions, strict=True):
            control[:] = action

    @abstractmethod
    def end(self, actions: np.ndarray, returns: np.ndarray) -> Outcome:
        """After the physics was stepped by `actions` [N, A]; adds the rewards, in float64, to `returns` [N]."""

    @abstractmethod
    def info(self, row: int) -> dict[str, Any]:
        """Gymnasium's info of the last step of one environment."""

    def _read_states(self) -> None:
        np.concatenate(self._sources, out=self.states.reshape(-1))


class InvertedPendulum(Task):
    """1 a step until the pole leans by more than 0.2 rad."""

    def end(self, actions: np.ndarray, returns: np.ndarray) -> Outcome:
        self._read_states()
        terminated = ~np.isfinite(self.states).all(axis=1) | (np.abs(self.states[:, 1]) > 0.2)
        self._upright = ~terminated
        returns += self._upright
        return self.states.copy(), self._upright.astype(np.float32), terminated

    def info(self, row: int) -> dict[str, Any]:
        return {"reward_survive": int(self._upright[row])}
