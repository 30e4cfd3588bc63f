"""What N environments do, written down in the plainest way, to hold vector environments against."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from envs import StepArrays
from envs.mujoco import quiet_deprecations


def plain_loop(make: Callable[[], gymnasium.Env], n: int, seed: int, actions: np.ndarray) -> Iterator[StepArrays]:
    """What N environments do, written down in the plainest way; actions [T, N, ...]."""
    with quiet_deprecations():
        members = [make() for _ in range(n)]
    first = [env.reset(seed=seed + i)[0] for i, env in enumerate(members)]
    nothing = np.zeros(0)
    yield StepArrays(np.array(first), *[nothing] * 7)
    returns, lengths = np.zeros(n), np.zeros(n, int)
    for row in actions:
        observations, rewards, terminations, truncations, finals, ended = [], [], [], [], [], []
        for i, env in enumerate(members):
            observation, reward, terminated, truncated, _ = env.step(row[i])
            returns[i] += float(reward)
            lengths[i] += 1
            finals.append(observation)
            rewards.append(reward)
            terminations.append(terminated)
            truncations.append(truncated and not terminated)
            if terminated or truncated:
                ended.append((returns[i], lengths[i], i))
                returns[i] = lengths[i] = 0
                observation = env.reset()[0]
            observations.append(observation)
        columns = [np.array(x) for x in (observations, rewards, terminations, truncations, finals)]
        yield StepArrays._make([*columns, *(np.array([episode[k] for episode in ended]) for k in range(3))])


def assert_same(venv: VecEnv, reference: Iterator[StepArrays], actions: np.ndarray) -> dict[str, int]:
    """Equality of all fields at all steps; returns how often episodes ended in which way."""
    np.testing.assert_array_equal(venv.reset(), next(reference).observations)
    counts = {"terminated": 0, "truncated": 0}
    for row, expected in zip(actions, reference, strict=True):
        step = venv.step_arrays(row)  # type: ignore[attr-defined]
        ended = expected.terminated | expected.truncated
        np.testing.assert_array_equal(step.observations, expected.observations)
        np.testing.assert_array_equal(step.rewards, expected.rewards.astype(np.float32))
        np.testing.assert_array_equal(step.terminated, expected.terminated)
        np.testing.assert_array_equal(step.truncated, expected.truncated)
        np.testing.assert_array_equal(step.final_observations[ended], expected.final_observations[ended])
        np.testing.assert_allclose(step.episode_returns, expected.episode_returns, atol=1e-6)
        np.testing.assert_array_equal(step.episode_lengths, expected.episode_lengths)
        np.testing.assert_array_equal(step.episode_rows, expected.episode_rows)
        counts = {name: count + int(getattr(expected, name).sum()) for name, count in counts.items()}
    return counts
