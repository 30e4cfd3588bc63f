"""Every row handed out is a step of an episode: it follows from the row before by the true dynamics and the action.

Gymnasium's vector environments reset an ended episode one step late, in a step that ignores its action and pays 0.
Taken for same-step resets, that step is a dummy row; these tests notice it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from envs import StepArrays, make_vec
from envs.backends.arrays import NO_EPISODES
from envs.backends.cartpole import step_states
from envs.mujoco import quiet_deprecations

Dynamics = Callable[[np.ndarray, np.ndarray], np.ndarray]


def cartpole(observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """What is observed next."""
    env = CartPoleVectorEnv(len(observations))
    env.state = observations.T.astype(np.float64)  # type: ignore[assignment]
    step_states(env, actions)
    return env.state.T  # type: ignore[union-attr]


def pendulum() -> Dynamics:
    """What is observed next of InvertedPendulum-v5, whose observation is its state."""
    with quiet_deprecations():
        env: Any = gymnasium.make("InvertedPendulum-v5").unwrapped
    env.reset()

    def following(observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        rows = []
        for observation, action in zip(observations, actions, strict=True):
            env.set_state(*np.split(observation, 2))
            rows.append(env.step(action)[0])
        return np.array(rows)

    return following


def by_arrays(venv: Any, actions: np.ndarray) -> StepArrays:
    return venv.step_arrays(actions)


def check_rows(venv: Any, dynamics: Dynamics, steps: int, step: Callable[..., StepArrays] = by_arrays) -> None:
    """Each last observation follows from the one before; an episode's end is followed by a first observation."""
    observations, counts = venv.reset(), np.zeros(2, int)
    recorded, under_way = 0, np.zeros(len(observations), int)
    venv.action_space.seed(0)
    for _ in range(steps):
        actions = np.array([venv.action_space.sample() for _ in observations])
        outcome = step(venv, actions)
        ended = outcome.terminated | outcome.truncated
        np.testing.assert_allclose(outcome.final_observations, dynamics(observations, actions), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(outcome.observations[~ended], outcome.final_observations[~ended])  # type: ignore[index]
        assert (np.abs(outcome.observations[ended]) <= 0.05).all()  # type: ignore[index]
        assert not (outcome.terminated & outcome.truncated).any()
        under_way += 1
        assert (under_way[outcome.truncated] == 15).all()
        assert (under_way[~ended] < 15).all()
        assert outcome.episode_lengths.tolist() == under_way[ended].tolist()
        assert outcome.episode_rows.tolist() == np.flatnonzero(ended).tolist()
        recorded += outcome.episode_lengths.sum()
        under_way[ended] = 0
        counts += outcome.terminated.sum(), outcome.truncated.sum()
        observations = outcome.observations
    assert counts.min() >= 3
    assert recorded + under_way.sum() == steps * len(observations)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("backend", ["native", "inprocess", "dummy"])
def test_cartpole(backend: str, normalized: bool) -> None:
    # Normalisation whose statistics stay at mean 0 and variance 1 changes nothing but the path.
    normalize = {"clip_obs": 100.0} if normalized else False
    venv = make_vec("CartPole-v1", 3, 0, backend, normalize, training=False, max_episode_steps=15)
    check_rows(venv, cartpole, 200)


def test_worker_processes() -> None:
    venv = make_vec("CartPole-v1", 2, 0, "subproc", max_episode_steps=15)
    try:
        check_rows(venv, cartpole, 200)
    finally:
        venv.close()


@pytest.mark.parametrize("backend", ["inprocess", "dummy"])
def test_mujoco(backend: str) -> None:
    venv = make_vec("InvertedPendulum-v5", 3, 0, backend, max_episode_steps=15)
    check_rows(venv, pendulum(), 400)


def late(venv: Any, actions: np.ndarray) -> StepArrays:
    """The misuse: Gymnasium's vector step taken for a same-step one, episodes counted by hand."""
    observations, rewards, terminated, truncated, _ = venv.step(actions)
    venv.lengths += 1
    rows = np.flatnonzero(terminated | truncated)
    episodes = (venv.lengths[rows].astype(float), venv.lengths[rows], rows) if len(rows) else NO_EPISODES
    venv.lengths[rows] = 0
    return StepArrays(observations, rewards, terminated, truncated & ~terminated, observations, *episodes)


@pytest.mark.parametrize(
    ("env_id", "mode", "dynamics"),
    [
        ("CartPole-v1", "vector_entry_point", lambda: cartpole),
        ("CartPole-v1", "sync", lambda: cartpole),
        ("InvertedPendulum-v5", "sync", pendulum),
    ],
)
def test_late_resets_are_noticed(env_id: str, mode: str, dynamics: Callable[[], Dynamics]) -> None:
    with quiet_deprecations():
        venv: Any = gymnasium.make_vec(env_id, 3, mode, max_episode_steps=15)

    class Naive:
        action_space = venv.single_action_space
        lengths = np.zeros(3, int)
        step = venv.step

        def reset(self) -> np.ndarray:
            return venv.reset(seed=0)[0]

    with pytest.raises(AssertionError):
        check_rows(Naive(), dynamics(), 200, late)
