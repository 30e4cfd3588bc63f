"""Every objective on every head: 32 minibatches by the fused engine lead to torch's parameters."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common import policies as sb3_policies
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import PPO
from agents.training.engine import FusedEngine, fused_engine
from agents.training.on_policy import OnPolicy
from agents.training.updates import make_update

from .losses import HEADS, OBJECTIVES, PAIRS, scalar

#: Two objectives for each head.
SOME = {
    head: [objective for o, objective in enumerate(OBJECTIVES) if (o + 3 * h) % 7 == 0 and (objective, head) in PAIRS]
    for h, head in enumerate(HEADS)
}


class AnyAction(gymnasium.Env[np.ndarray, Any]):
    """Random observations and rewards, whatever the action; episodes of 7 steps."""

    observation_space = spaces.Box(-1, 1, (3,))

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space, self.steps = action_space, 0

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**kwargs)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._observe(), self.np_random.normal(), False, self.steps == 7, {}

    def _observe(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


def filled(head: str) -> OnPolicy:
    """A model with a rollout of 248 transitions, 8 odd minibatches, that it has learnt from once."""
    name, space = HEADS[head]
    env = DummyVecEnv([lambda: AnyAction(space)] * 2)
    sizes = {"n_steps": 124, "batch_size": 31, "n_epochs": 4, "ent_coef": 0.01, "seed": 0}
    network = {"head": name, "net_arch": [16, 16]}
    model = PPO("MlpPolicy", env, engine="torch", device="cpu", policy_kwargs=network, **sizes)
    _, callback = model._setup_learn(992)
    model.collect_rollouts(env, callback, model.rollout_buffer, 124)
    model.close_rollout()
    make_update(model)(model)
    return model


def in_double(model: OnPolicy) -> OnPolicy:
    """A copy whose update is computed in double precision."""
    twin = deepcopy(model)
    twin.policy.double()
    for state in twin.policy.optimizer.state.values():
        state |= {name: state[name].double() for name in ("exp_avg", "exp_avg_sq")}
    for name, array in vars(twin.rollout_buffer).items():
        if isinstance(array, np.ndarray) and array.dtype == np.float32:
            setattr(twin.rollout_buffer, name, array.astype(np.float64))
    twin.rollout_buffer.seal()
    return twin


def updated(model: OnPolicy, update: Any) -> np.ndarray:
    """All parameters after an update."""
    np.random.seed(7)
    update(model)
    return np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()])


def check(model: OnPolicy, objective: str, executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fused engine's parameters are torch's within 1e-6; or, where torch's own are not that exact, the true ones.

    That happens on ordinal bins alone: their first logit moves no probability, so its gradient is rounding, which Adam
    takes for a small gradient.
    """
    model = deepcopy(model)
    model._objective = OBJECTIVES[objective](scalar(0.3))
    model.loss = model._make_loss()
    exact, fused = in_double(model), deepcopy(model)
    engine = fused_engine(fused, executor)
    assert isinstance(engine, FusedEngine)
    assert (engine.gradient.executor, engine.gradient.reason) == (executor, "")
    found, right = updated(fused, engine.update_of(fused)), updated(model, make_update(model))
    if np.abs(found - right).max() > 1e-6:
        monkeypatch.setattr(sb3_policies, "preprocess_obs", lambda observations, *_, **__: observations)
        right = updated(exact, make_update(exact))
    assert np.abs(found - right).max() <= 1e-6, objective


@pytest.mark.parametrize("head", HEADS)
def test_some_pairs(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = filled(head)
    assert SOME[head]
    for objective in SOME[head]:
        check(model, objective, "numpy", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["numpy", "numba"])
@pytest.mark.parametrize("head", HEADS)
def test_all_pairs(head: str, executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if executor == "numba":
        pytest.importorskip("numba")
    model = filled(head)
    for objective in OBJECTIVES:
        if (objective, head) in PAIRS:
            check(model, objective, executor, monkeypatch)
