"""One VecEnv against another, transition by transition."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from envs import StepArrays

FIELDS = ("observations", "rewards", "terminated", "truncated", "episode_returns", "episode_lengths", "episode_rows")


def assert_same_steps(venv: VecEnv, reference: VecEnv, steps: int, final_of_games: bool = True) -> dict[str, int]:
    """Equality to the bit of what both do under random actions; counts of terminations, truncations and recorded games.

    `final_of_games=False` leaves out the last observation of a game that ended by itself.
    """
    assert venv.action_space == reference.action_space
    assert venv.observation_space == reference.observation_space
    rng, n = np.random.default_rng(0), venv.num_envs
    counts = {"terminated": 0, "truncated": 0, "games": 0}
    np.testing.assert_array_equal(venv.reset(), reference.reset())
    for _ in range(steps):
        actions = rng.integers(0, venv.action_space.n, n)
        step: StepArrays = venv.step_arrays(actions)
        expected: StepArrays = reference.step_arrays(actions)
        for name in FIELDS:
            ours, theirs = getattr(step, name), getattr(expected, name)
            assert (name, ours.dtype) == (name, theirs.dtype)
            np.testing.assert_array_equal(ours, theirs, name)
        ended = expected.terminated | expected.truncated
        if not final_of_games:
            ended[expected.episode_rows] &= expected.truncated[expected.episode_rows]
        np.testing.assert_array_equal(step.final_observations[ended], expected.final_observations[ended])
        for name, happened in (("terminated", step.terminated), ("truncated", step.truncated)):
            counts[name] += int(happened.sum())
        counts["games"] += len(step.episode_rows)
    return counts
