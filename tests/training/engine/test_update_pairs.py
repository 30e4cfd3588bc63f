"""Every objective on every head: 32 minibatches by the fused engine lead to torch's parameters."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
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


def distance(model: OnPolicy, objective: str, executor: str) -> float:
    """Between the parameters after an update by torch and by the fused engine, from the same ones."""
    model._objective = OBJECTIVES[objective](scalar(0.3))
    model.loss = model._make_loss()
    twin = deepcopy(model)
    engine = fused_engine(twin, executor)
    assert isinstance(engine, FusedEngine)
    assert (engine.gradient.executor, engine.gradient.reason) == (executor, "")
    for each, update in ((model, make_update(model)), (twin, engine.update_of(twin))):
        np.random.seed(7)
        update(each)
    pairs = zip(model.policy.parameters(), twin.policy.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


@pytest.mark.parametrize("head", HEADS)
def test_some_pairs(head: str) -> None:
    model = filled(head)
    assert SOME[head]
    for objective in SOME[head]:
        assert distance(deepcopy(model), objective, "numpy") <= 1e-6, objective


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["numpy", "numba"])
@pytest.mark.parametrize("head", HEADS)
def test_all_pairs(head: str, executor: str) -> None:
    if executor == "numba":
        pytest.importorskip("numba")
    model = filled(head)
    for objective in OBJECTIVES:
        if (objective, head) in PAIRS:
            assert distance(deepcopy(model), objective, executor) <= 1e-6, objective
