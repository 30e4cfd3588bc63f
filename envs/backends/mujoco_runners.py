"""The MuJoCo tasks that pay for moving forward: HalfCheetah, Swimmer, Walker2d, Hopper and Ant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compiled import load_kernel
from .mujoco_tasks import Outcome, Task

_ALL = (-np.inf, np.inf)
_FLOATS = np.dtype(np.float32), np.dtype(np.float64)  # of actions; other types have a precision of their own


class HalfCheetah(Task):
    """Forward reward minus control cost; the base of the others.

    Where Numba is installed what is around the physics is compiled, and `info` computes its parts when it is asked for.
    """

    parameters: tuple[str, ...] = (
        "_forward_reward_weight",
        "_ctrl_cost_weight",
        "_exclude_current_positions_from_observation",
    )
    can_terminate = False
    compiles = True
    n_places = 1  # coordinates whose velocity counts, and which may be left out of the observation
    _forward_reward_weight: float
    _ctrl_cost_weight: float
    _exclude_current_positions_from_observation: bool
    _kernels: list[Any]

    def __init__(self, envs: Sequence[Any]) -> None:
        super().__init__(envs)
        self._before = np.empty((len(envs), self.n_places))

    def look(self) -> None:
        super().look()
        self._places = [self._place(env) for env in self.envs]

    def read_parameters(self) -> None:
        super().read_parameters()
        self._hidden = self.n_places if self._exclude_current_positions_from_observation else 0
        n, size = self.states.shape
        self._shape = n, size - self._hidden
        few = self.envs[0].model.nu < 8  # more of them NumPy adds pairwise
        plain = type(self._ctrl_cost_weight) is float  # another type would decide the precision of the cost
        names = ("runner_begin", "runner_end") if self.compiles and few and plain else ()
        kernels = [load_kernel("backends.mujoco_kernel", name) for name in names]
        self._kernels = kernels if all(kernels) else []
        self._constants = *self._kernel_constants(), self.n_positions

    def begin(self, actions: np.ndarray) -> None:
        if self._kernels and actions.dtype in _FLOATS:
            self._kernels[0](self.addresses, actions, self._before)
            return
        super().begin(actions)
        self._before[:] = self._places

    def end(self, actions: np.ndarray, returns: np.ndarray) -> Outcome:
        self._actions, self._has_parts = actions, False
        if self._kernels and actions.dtype in _FLOATS:
            n = len(actions)
            outcome = np.empty(self._shape), np.empty(n, np.float32), np.zeros(n, bool)
            self._kernels[1](self.addresses, self.states, self._before, actions, *outcome, returns, *self._constants)
            return outcome
        self._read_states()
        self._compute_parts()
        rewards = self._reward()
        returns += rewards
        return self._observe(), rewards.astype(np.float32), self._terminated()

    def info(self, row: int) -> dict[str, Any]:
        if not self._has_parts:
            self._compute_parts()
        return self._parts_of(row)

    def _kernel_constants(self) -> tuple[Any, ...]:
        weights = self.dt, self._forward_reward_weight, self._ctrl_cost_weight
        return (*map(float, weights), 0.0), (False, False, False), (_ALL, _ALL, _ALL)

    def _compute_parts(self) -> None:
        self._velocities = (self._places_after() - self._before) / self.dt
        self._forward = self._forward_reward_weight * self._velocities[:, 0]
        self._control = self._ctrl_cost_weight * np.add.reduce(np.square(self._actions), axis=1)
        self._has_parts = True

    def _parts_of(self, row: int) -> dict[str, Any]:
        return self._place_info(row) | {"reward_forward": self._forward[row], "reward_ctrl": -self._control[row]}

    def _place_info(self, row: int) -> dict[str, Any]:
        return {"x_position": self.states[row, 0], "x_velocity": self._velocities[row, 0]}

    def _place(self, env: Any) -> np.ndarray:
        """[n_places], a view into the simulator."""
        return env.data.qpos[: self.n_places]

    def _places_after(self) -> np.ndarray:
        return self.states[:, : self.n_places]

    def _observe(self) -> np.ndarray:
        return self.states[:, self._hidden :].copy()

    def _reward(self) -> np.ndarray:
        return self._forward - self._control

    def _terminated(self) -> np.ndarray:
        return np.zeros(len(self.envs), bool)


class Swimmer(HalfCheetah):
    """As HalfCheetah, in the plane."""

    n_places = 2

    def _place_info(self, row: int) -> dict[str, Any]:
        return {
            "x_position": self.states[row, 0],
            "y_position": self.states[row, 1],
            "distance_from_origin": np.linalg.norm(self.states[row, :2], ord=2),
            "x_velocity": self._velocities[row, 0],
            "y_velocity": self._velocities[row, 1],
        }


class Walker2d(HalfCheetah):
    """A reward for staying upright, and an end otherwise; velocities are observed clipped to [-10, 10]."""

    parameters = (
        *HalfCheetah.parameters,
        "_healthy_reward",
        "_terminate_when_unhealthy",
        "_healthy_z_range",
        "_healthy_angle_range",
    )
    can_terminate = True
    _healthy_reward: float
    _terminate_when_unhealthy: bool
    _healthy_z_range: tuple[float, float]
    _healthy_angle_range: tuple[float, float]
    _healthy_state_range: tuple[float, float] | None = None  # Hopper's, of the angle and all after it

    def _kernel_constants(self) -> tuple[Any, ...]:
        weights = self.dt, self._forward_reward_weight, self._ctrl_cost_weight, self._healthy_reward
        ranges = self._healthy_z_range, self._healthy_angle_range, self._healthy_state_range or _ALL
        switches = True, bool(self._terminate_when_unhealthy), self._healthy_state_range is not None
        return tuple(map(float, weights)), switches, tuple((float(low), float(high)) for low, high in ranges)

    def _compute_parts(self) -> None:
        super()._compute_parts()
        self._is_healthy = self._healthy()
        self._survival = self._is_healthy * self._healthy_reward

    def _parts_of(self, row: int) -> dict[str, Any]:
        return super()._parts_of(row) | {"reward_survive": self._survival[row]}

    def _place_info(self, row: int) -> dict[str, Any]:
        height = {"z_distance_from_origin": self.states[row, 1] - self.envs[row].init_qpos[1]}
        return super()._place_info(row) | height

    def _healthy(self) -> np.ndarray:
        z, angle, rest = self.states[:, 1], self.states[:, 2], self.states[:, 2:]
        (min_z, max_z), (min_angle, max_angle) = self._healthy_z_range, self._healthy_angle_range
        healthy = (min_z < z) & (z < max_z) & (min_angle < angle) & (angle < max_angle)
        if self._healthy_state_range is not None:
            lowest, highest = self._healthy_state_range
            healthy &= ((lowest < rest) & (rest < highest)).all(axis=1)
        return healthy

    def _observe(self) -> np.ndarray:
        observations = super()._observe()
        velocities = observations[:, self.n_positions - self._hidden :]
        np.minimum(np.maximum(velocities, -10, out=velocities), 10, out=velocities)
        return observations

    def _reward(self) -> np.ndarray:
        return self._forward + self._survival - self._costs()

    def _costs(self) -> np.ndarray:
        return self._control

    def _terminated(self) -> np.ndarray:
        return ~self._is_healthy if self._terminate_when_unhealthy else super()._terminated()


class Hopper(Walker2d):
    """As Walker2d, with a range for the other coordinates as well."""

    parameters = (*Walker2d.parameters, "_healthy_state_range")


class Ant(Walker2d):
    """In the plane; contact forces cost something, and are observed, clipped."""

    parameters = (
        *HalfCheetah.parameters,
        "_healthy_reward",
        "_terminate_when_unhealthy",
        "_healthy_z_range",
        "_contact_cost_weight",
        "_contact_force_range",
        "_include_cfrc_ext_in_observation",
    )
    compiles = False
    needs_contact_forces = True
    n_places = 2
    _contact_cost_weight: float
    _contact_force_range: tuple[float, float]
    _include_cfrc_ext_in_observation: bool

    def __init__(self, envs: Sequence[Any]) -> None:
        super().__init__(envs)
        self._forces = np.empty((len(envs), envs[0].data.cfrc_ext.size))

    def look(self) -> None:
        super().look()
        self._force_sources = [env.data.cfrc_ext.reshape(-1) for env in self.envs]

    def _kernel_constants(self) -> tuple[Any, ...]:
        return ()

    def _compute_parts(self) -> None:
        super()._compute_parts()
        np.concatenate(self._force_sources, out=self._forces.reshape(-1))
        self._forces.clip(*self._contact_force_range, out=self._forces)
        self._contact = self._contact_cost_weight * np.add.reduce(np.square(self._forces), axis=1)

    def _parts_of(self, row: int) -> dict[str, Any]:
        return super()._parts_of(row) | {"reward_contact": -self._contact[row]}

    _place_info = Swimmer._place_info

    def _place(self, env: Any) -> np.ndarray:
        return env.data.body(env._main_body).xpos[:2]  # it lags behind qpos by one substep

    def _places_after(self) -> np.ndarray:
        return np.array(self._places)

    def _healthy(self) -> np.ndarray:
        z, (lowest, highest) = self.states[:, 2], self._healthy_z_range
        return np.isfinite(self.states).all(axis=1) & (lowest <= z) & (z <= highest)

    def _observe(self) -> np.ndarray:
        states = self.states[:, self._hidden :]
        if not self._include_cfrc_ext_in_observation:
            return states.copy()
        return np.concatenate((states, self._forces[:, 6:]), axis=1)  # without those on the world, body 0

    def _costs(self) -> np.ndarray:
        return self._control + self._contact
