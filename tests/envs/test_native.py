"""CartPole as one array, against Gymnasium's."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from envs import make_vec
from envs.backends.cartpole import step_states
from envs.backends.native import NativeVecEnv


def test_native_cartpole_with_injected_reset_states() -> None:
    n, limit = 5, 30
    venv = make_vec("CartPole-v1", n, 0, "native", max_episode_steps=limit)
    assert isinstance(venv, NativeVecEnv)
    singles = [gymnasium.make("CartPole-v1", max_episode_steps=limit) for _ in range(n)]

    def inject(rows: Any) -> None:
        for row in rows:
            singles[row].reset()
            singles[row].unwrapped.state = venv.vector.state[:, row].copy()  # type: ignore[attr-defined, index]

    observations = venv.reset()
    inject(range(n))
    rng, counts = np.random.default_rng(0), np.zeros(2, int)
    for _ in range(2000):
        actions = rng.integers(0, 2, n)
        step = venv.step_arrays(actions)
        for row, env in enumerate(singles):
            observation, reward, terminated, truncated, _ = env.step(int(actions[row]))
            np.testing.assert_allclose(step.final_observations[row], observation, rtol=1e-6, atol=1e-7)  # type: ignore[index]
            assert step.rewards[row] == reward
            assert (step.terminated[row], step.truncated[row]) == (terminated, truncated and not terminated)
        ended = np.flatnonzero(step.terminated | step.truncated)
        inject(ended)
        assert isinstance(step.observations, np.ndarray)
        observations = step.observations
        assert (np.abs(observations[ended]) <= 0.05).all()
        counts += step.terminated.sum(), step.truncated.sum()
    assert counts.min() > 30
    assert observations.flags.c_contiguous


@pytest.mark.parametrize("integrator", ["euler", "semi-implicit euler"])
@pytest.mark.parametrize("n", [1, 7])
def test_cartpoles_equations_are_gymnasiums_to_the_bit(integrator: str, n: int) -> None:
    ours, theirs = (CartPoleVectorEnv(n) for _ in range(2))
    ours.kinematics_integrator = theirs.kinematics_integrator = integrator
    rng = np.random.default_rng(0)
    ours.reset(seed=0), theirs.reset(seed=0)
    for t in range(10_000 // n):
        actions = rng.integers(0, 2, n)
        terminated = step_states(ours, actions)
        _, _, expected, _, _ = theirs.step(actions)
        np.testing.assert_array_equal(ours.state, theirs.state)
        np.testing.assert_array_equal(terminated, expected)
        if terminated.any() or t % 50 == 0:
            ours.state = theirs.state = rng.normal(0, 0.1, (4, n))  # type: ignore[assignment]
            theirs.prev_done[:] = False
            theirs.steps[:] = 0


def test_native_refuses_actions_that_cartpole_does_not_have() -> None:
    venv = make_vec("CartPole-v1", 2, 0, "native")
    venv.reset()
    for bad in ([0, 2], [-1, 0]):
        with pytest.raises(ValueError, match="must be 0 or 1"):
            venv.step_arrays(np.array(bad))


def test_native_sticky_actions_repeat_the_executed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    venv = make_vec("CartPole-v1", 64, 0, "native", sticky_actions=0.25)
    assert isinstance(venv, NativeVecEnv)
    executed: list[np.ndarray] = []

    def step_and_tell(env: CartPoleVectorEnv, actions: np.ndarray) -> np.ndarray:
        executed.append(actions.copy())
        return step_states(env, actions)

    monkeypatch.setattr("envs.backends.native.step_states", step_and_tell)
    venv.reset()
    rng, changed, chances = np.random.default_rng(0), 0, 0
    fresh = np.ones(64, bool)
    for t in range(200):
        wanted = rng.integers(0, 2, 64)
        step = venv.step_arrays(wanted)
        np.testing.assert_array_equal(executed[-1][fresh], wanted[fresh])
        if t:
            could_stick = ~fresh & (executed[-2] != wanted)
            chances += could_stick.sum()
            changed += (executed[-1] != wanted).sum()
            np.testing.assert_array_equal(executed[-1][executed[-1] != wanted], executed[-2][executed[-1] != wanted])
        fresh = step.terminated | step.truncated
    assert changed / chances == pytest.approx(0.25, abs=0.02)


def test_native_rows_cannot_be_addressed_singly() -> None:
    venv = make_vec("CartPole-v1", 2, 0, "native")
    for call in (lambda: venv.set_attr("gravity", 1.0, 0), lambda: venv.env_method("close", indices=[1])):
        with pytest.raises(ValueError, match="use backend='inprocess'"):
            call()
