"""NChain and DeepSea: the environment is the arrays, on every backend, and the best returns are the known ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy import sparse

from envs import make_vec
from envs.chains import deep_sea_arrays, nchain_arrays
from envs.tabular import TabularArrays

NAMES = {"NChain-v0": ("n", nchain_arrays), "DeepSea-v0": ("size", deep_sea_arrays)}


def best_return(arrays: TabularArrays, steps: int) -> float:
    """Optimal undiscounted return of `steps` steps, by dynamic programming."""
    values = np.zeros(len(arrays.rho))
    for _ in range(steps):
        values = (arrays.r + arrays.P @ values).max(axis=1)
    return float(arrays.rho @ values)


@pytest.mark.parametrize(("env_id", "size"), [("NChain-v0", 2), ("NChain-v0", 7), ("DeepSea-v0", 1), ("DeepSea-v0", 4)])
def test_the_environment_steps_by_its_arrays(env_id: str, size: int) -> None:
    argument, arrays_of = NAMES[env_id]
    arrays = arrays_of(size)
    env: Any = gymnasium.make(env_id, **{argument: size}).unwrapped
    env.reset()
    assert arrays.rho[env.state] == 1.0
    terminal = len(arrays.rho) - 1 if env_id == "DeepSea-v0" else None
    for state in range(len(arrays.rho)):
        for action in range(2):
            env.reset()
            env.state = state
            observation, reward, terminated, _, _ = env.step(action)
            (successor,) = np.flatnonzero(arrays.P[state, action])
            assert arrays.P[state, action, successor] == 1.0
            assert reward == arrays.r[state, action]
            assert terminated == (successor == terminal)
            assert observation.tolist() == [float(i == successor) for i in range(len(observation))]
    if terminal is not None:
        assert (arrays.P[terminal, :, terminal] == 1).all() and (arrays.r[terminal] == 0).all()


def test_nchain_dynamics() -> None:
    arrays = nchain_arrays(3)
    assert arrays.P.argmax(-1).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert arrays.r.tolist() == [[0.01, 0], [0, 0], [0, 1]]
    assert arrays.rho.tolist() == [0, 1, 0]


@pytest.mark.parametrize("n", [2, 10, 15, 40])
def test_the_best_return_of_nchain_is_10(n: int) -> None:
    assert best_return(nchain_arrays(n), n + 8) == pytest.approx(10)
    env = gymnasium.make("NChain-v0", n=n)
    env.reset()
    steps = [env.step(1) for _ in range(n + 8)]
    assert sum(float(step[1]) for step in steps) == 10
    assert [step[3] for step in steps] == [False] * (n + 7) + [True]
    assert not any(step[2] for step in steps)


def test_the_best_return_of_nchain_in_25_steps() -> None:
    assert [best_return(nchain_arrays(n), min(n + 8, 25)) for n in (10, 15, 20)] == [10, 10, 7]
    env = gymnasium.make("NChain-v0", n=20, horizon=25)
    env.reset()
    assert sum(float(env.step(1)[1]) for _ in range(25)) == 7


@pytest.mark.parametrize("size", [1, 2, 10, 30])
def test_the_best_return_of_deep_sea_is_99_hundredths(size: int) -> None:
    assert best_return(deep_sea_arrays(size), size) == pytest.approx(0.99)
    env = gymnasium.make("DeepSea-v0", size=size)
    env.reset()
    steps = [env.step(1) for _ in range(size)]
    assert sum(float(step[1]) for step in steps) == pytest.approx(0.99)
    assert [step[2] for step in steps] == [False] * (size - 1) + [True]
    assert not steps[-1][0].any()


def test_only_the_diagonal_pays_in_deep_sea() -> None:
    for swerve in range(5):
        env = gymnasium.make("DeepSea-v0", size=5)
        env.reset()
        total = sum(float(env.step(int(step != swerve))[1]) for step in range(5))
        assert total == pytest.approx(-0.01 * 4 / 5)


def test_encodings_of_nchain() -> None:
    thermometer = gymnasium.make("NChain-v0", n=4, encoding="thermometer")
    assert thermometer.reset()[0].tolist() == [1, 1, 0, 0]
    assert thermometer.step(1)[0].tolist() == [1, 1, 1, 0]
    assert gymnasium.make("NChain-v0", n=4).reset()[0].tolist() == [0, 1, 0, 0]
    for step in [thermometer.step(action) for action in (1, 0, 0, 0)]:
        assert step[0].argmax() == 0  # what an agent reads that decodes it by argmax


@pytest.mark.parametrize(("arrays_of", "size"), [(nchain_arrays, 12), (deep_sea_arrays, 5)])
def test_sparse_arrays_are_the_dense_ones(arrays_of: Any, size: int) -> None:
    dense, thin = arrays_of(size), arrays_of(size, sparse=True)
    n_states = len(dense.rho)
    assert isinstance(thin.P, sparse.csr_array)
    np.testing.assert_array_equal(thin.P.toarray(), dense.P.reshape(2 * n_states, n_states))
    np.testing.assert_array_equal(thin.r, dense.r)
    np.testing.assert_array_equal(thin.rho, dense.rho)


def test_a_long_chain_takes_memory_in_proportion() -> None:
    arrays = nchain_arrays(100_000, sparse=True)
    assert arrays.P.shape == (200_000, 100_000)
    assert arrays.P.data.nbytes + arrays.P.indices.nbytes + arrays.P.indptr.nbytes < 10_000_000
    env = gymnasium.make("NChain-v0", n=100_000)
    env.reset()
    assert env.step(1)[0].argmax() == 2


def plain_loop(env_id: str, n: int, actions: np.ndarray, **kwargs: Any) -> Iterator[tuple[list[Any], ...]]:
    """What N environments do, in the plainest way: (next, reward, terminated, truncated, last) rows of each step."""
    members = [gymnasium.make(env_id, **kwargs) for _ in range(n)]
    for env in members:
        env.reset()
    for row in actions:
        columns: tuple[list[Any], ...] = ([], [], [], [], [])
        for env, action in zip(members, row, strict=True):
            last, reward, terminated, truncated, _ = env.step(action)
            following = env.reset()[0] if terminated or truncated else last
            for column, value in zip(columns, (following, reward, terminated, truncated, last), strict=True):
                column.append(value)
        yield columns


@pytest.mark.parametrize("backend", ["inprocess", "dummy", "subproc"])
@pytest.mark.parametrize("env_id", ["NChain-v0", "DeepSea-v0"])
def test_every_backend_steps_like_a_plain_loop(env_id: str, backend: str) -> None:
    actions = np.random.default_rng(0).integers(0, 2, (5000, 2))
    venv = make_vec(env_id, 2, 0, backend)
    venv.reset()
    ends, episodes = 0, 0
    for row, expected in zip(actions, plain_loop(env_id, 2, actions), strict=True):
        step = venv.step_arrays(row)  # type: ignore[attr-defined]
        following, rewards, terminated, truncated, last = map(np.array, expected)
        ended = terminated | truncated
        np.testing.assert_array_equal(step.observations, following)
        np.testing.assert_array_equal(step.rewards, rewards.astype(np.float32))
        np.testing.assert_array_equal(step.terminated, terminated)
        np.testing.assert_array_equal(step.truncated, truncated)
        np.testing.assert_array_equal(step.final_observations[ended], last[ended])
        ends += int(ended.sum())
        episodes += len(step.episode_returns)
    venv.close()
    assert ends == episodes == {"NChain-v0": 10_000 // 18 - 1, "DeepSea-v0": 1000}[env_id]


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("NChain-v0", {"n": 1}, "n=1: must be an integer >= 2"),
        ("NChain-v0", {"n": 2.5}, "n=2.5"),
        ("NChain-v0", {"horizon": 0}, "horizon=0"),
        ("NChain-v0", {"encoding": "onehot"}, "encoding='onehot': unknown, did you mean 'one_hot'"),
        ("DeepSea-v0", {"size": 0}, "size=0: must be an integer >= 1"),
        ("DeepSea-v0", {"n": 5}, "DeepSea-v0 has no parameter 'n'"),
    ],
)
def test_bad_arguments(env_id: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec(env_id, env_kwargs=kwargs)


def test_actions_that_are_none() -> None:
    env = gymnasium.make("NChain-v0").unwrapped
    env.reset()
    for action in (-1, 2):
        with pytest.raises(ValueError, match=r"must lie in Discrete\(2\)"):
            env.step(action)
