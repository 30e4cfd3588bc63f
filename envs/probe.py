"""Probe environments: so small that the value function is known, so that a wrong learner has nowhere to hide.

Each isolates one thing that a learner must get right, in the order in which to try them: a constant, what the
observation says, discounting, the time limit, the action. `optimal_value` is the answer. Each exists for every kind of
action that Stable-Baselines3 has: Discrete, Box, MultiDiscrete, MultiBinary (it has no Dict and no Tuple of actions).
Observations are one number, Box [1], or a Dict in which that number stands beside a constant.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from . import checks

_BOX_TARGET = 0.5
_MULTI_DISCRETE_TARGET = np.array([1, 2])
_MULTI_BINARY_TARGET = np.array([1, 0, 1])


def _action_spaces() -> dict[str, spaces.Space]:
    return {
        "discrete": spaces.Discrete(2),
        "box": spaces.Box(-1.0, 1.0, (1,), np.float32),
        "multi_discrete": spaces.MultiDiscrete([2, 3]),
        "multi_binary": spaces.MultiBinary(3),
    }


def _observation_spaces() -> dict[str, spaces.Space]:
    number = spaces.Box(-1.0, 1.0, (1,), np.float32)
    constant = spaces.Box(-1.0, 1.0, (2,), np.float32)
    return {"vector": number, "dict": spaces.Dict({"constant": constant, "number": number})}


class ProbeConstant(gymnasium.Env[Any, Any]):
    """One step, reward 1, whatever is done: V = 1. A loss or an optimiser that is broken fails here.

    Args:
        actions: "discrete", "box", "multi_discrete" or "multi_binary".
        observations: "vector", the number [1]; or "dict": {"number": the same, "constant": ones [2]}.
        render_mode: None; there is nothing to see.

    Raises:
        ValueError: a kind that is not known.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(self, actions: str = "discrete", observations: str = "vector", render_mode: str | None = None) -> None:
        self.actions, self.observations, self.render_mode = actions, observations, render_mode
        action_spaces, observation_spaces = _action_spaces(), _observation_spaces()
        self.action_space = action_spaces[checks.one_of("actions", actions, action_spaces)]
        self.observation_space = observation_spaces[checks.one_of("observations", observations, observation_spaces)]
        self.observed = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self.observed = self._first()
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Pay and, as a rule, end."""
        reward, terminated = self._pay(action)
        return self._observation(), reward, terminated, False, {}

    def optimal_value(self, observation: float, gamma: float) -> float:
        """V*(observation) = 1."""
        return 1.0

    def _first(self) -> float:
        return 0.0

    def _pay(self, action: Any) -> tuple[float, bool]:
        """Reward, and whether the episode is over."""
        return 1.0, True

    def _observation(self) -> Any:
        number = np.array([self.observed], np.float32)
        return number if self.observations == "vector" else {"constant": np.ones(2, np.float32), "number": number}


class ProbeObservation(ProbeConstant):
    """One step, the reward is the observation, -1 or 1 at random: V(o) = o. Fails if the critic is blind."""

    def optimal_value(self, observation: float, gamma: float) -> float:
        """V*(o) = o."""
        return observation

    def _first(self) -> float:
        return float(self.np_random.choice([-1.0, 1.0]))

    def _pay(self, action: Any) -> tuple[float, bool]:
        return self.observed, True


class ProbeDiscount(ProbeConstant):
    """Two steps, observed as 0 and 1, reward only at the second: V(0) = gamma, V(1) = 1. Fails if returns are wrong."""

    def optimal_value(self, observation: float, gamma: float) -> float:
        """V*(0) = gamma, V*(1) = 1."""
        return 1.0 if observation == 1.0 else gamma

    def _pay(self, action: Any) -> tuple[float, bool]:
        over, self.observed = self.observed == 1.0, 1.0
        return float(over), over


class ProbeTruncation(ProbeConstant):
    """Reward 1 for ever, cut off after 5 steps: V = 1/(1 - gamma). Fails if truncation is taken for termination."""

    def optimal_value(self, observation: float, gamma: float) -> float:
        """V* = 1/(1 - gamma): the time limit is not part of the task."""
        return 1.0 / (1.0 - gamma)

    def _pay(self, action: Any) -> tuple[float, bool]:
        return 1.0, False


class ProbeAction(ProbeConstant):
    """One step, the reward depends on the action alone, at best 1: V* = 1. Fails if the policy does not learn.

    Discrete(2): 1 for action 1, else 0. Box: 1 - (a - 0.5)^2. MultiDiscrete([2, 3]) and MultiBinary(3): the share of
    components that equal (1, 2) and (1, 0, 1).
    """

    def _pay(self, action: Any) -> tuple[float, bool]:
        if self.actions == "discrete":
            return float(action == 1), True
        if self.actions == "box":
            return 1.0 - float(action[0] - _BOX_TARGET) ** 2, True
        target = _MULTI_DISCRETE_TARGET if self.actions == "multi_discrete" else _MULTI_BINARY_TARGET
        return float(np.mean(np.asarray(action) == target)), True
