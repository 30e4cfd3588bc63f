"""Our vector environments as SB3 sees them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from envs import make_vec
from envs.backends.arrays import arrays_from_infos
from envs.backends.inprocess import InProcessVecEnv

IN_THIS_PROCESS = ("inprocess", "dummy", "native")


@pytest.mark.parametrize("backend", ["inprocess", "native"])
def test_step_is_the_array_step_in_sb3s_terms(backend: str) -> None:
    kwargs: dict[str, Any] = {"reward_noise": 0.5, "max_episode_steps": 20}
    by_arrays, by_step = (make_vec("CartPole-v1", 3, 1, backend, **kwargs) for _ in range(2))
    np.testing.assert_array_equal(by_arrays.reset(), by_step.reset())
    rng = np.random.default_rng(0)
    for _ in range(300):
        actions = rng.integers(0, 2, 3)
        step = by_arrays.step_arrays(actions)  # type: ignore[attr-defined]
        observations, rewards, dones, infos = by_step.step(actions)
        np.testing.assert_array_equal(step.observations, observations)
        np.testing.assert_array_equal(step.rewards, rewards)
        np.testing.assert_array_equal(step.terminated | step.truncated, dones)
        assert [info["TimeLimit.truncated"] for info in infos] == step.truncated.tolist()
        assert ["terminal_observation" in info for info in infos] == dones.tolist()
        for row in np.flatnonzero(dones):
            np.testing.assert_array_equal(infos[row]["terminal_observation"], step.final_observations[row])
        assert [info["episode"]["r"] for info in infos if "episode" in info] == step.episode_returns.tolist()


@pytest.mark.parametrize("backend", IN_THIS_PROCESS)
def test_seeds_and_numbers_may_be_numpys(backend: str) -> None:
    by_numpy = make_vec("CartPole-v1", np.int64(4), np.int64(3), backend)  # type: ignore[arg-type]
    np.testing.assert_array_equal(by_numpy.reset(), make_vec("CartPole-v1", 4, 3, backend).reset())


@pytest.mark.parametrize("backend", IN_THIS_PROCESS)
def test_returns_are_clean_beside_noisy_rewards(backend: str) -> None:
    venv = make_vec("CartPole-v1", 4, 0, backend, reward_noise=2.0, observation_noise=0.1, sticky_actions=0.2)
    venv.reset()
    rng, rewards, observed = np.random.default_rng(0), [], []
    for _ in range(400):
        step = venv.step_arrays(rng.integers(0, 2, 4))  # type: ignore[attr-defined]
        assert step.episode_returns.tolist() == step.episode_lengths.tolist()
        rewards.append(step.rewards)
        observed.append(step.observations[step.terminated | step.truncated])
    assert rewards[0].dtype == np.float32
    assert np.std(rewards) == pytest.approx(2.0, rel=0.1)
    first = np.concatenate(observed)
    assert first.std() == pytest.approx(np.hypot(0.1, 0.05 / np.sqrt(3)), rel=0.2)
    assert venv.observation_space.contains(first[0])


@pytest.mark.parametrize("backend", IN_THIS_PROCESS)
def test_seeds(backend: str) -> None:
    def first(seed: int | None) -> np.ndarray:
        venv = make_vec("CartPole-v1", 2, seed, backend)
        return np.array([venv.reset(), venv.reset()])

    np.testing.assert_array_equal(first(4), first(4))
    assert not np.array_equal(first(4), first(5))
    assert not np.array_equal(first(None), first(None))
    if backend != "native":  # environment i has seed + i; native rows share a generator
        np.testing.assert_array_equal(first(4)[0, 1], first(5)[0, 0])


def test_arrays_belong_to_the_caller() -> None:
    for backend in IN_THIS_PROCESS:
        venv = make_vec("CartPole-v1", 2, 0, backend)
        steps, copies = [], []
        venv.reset()
        for _ in range(60):
            steps.append(venv.step_arrays(np.array([1, 0])))  # type: ignore[attr-defined]
            copies.append([np.array(array) for array in steps[-1]])
        for step, copy in zip(steps, copies, strict=True):
            for array, kept in zip(step, copy, strict=True):
                np.testing.assert_array_equal(array, kept)


def read_monitor_files(folder: Path, env_id: str) -> list[dict[str, str]]:
    """The rows of both files, after a look at their headers."""
    rows = []
    for index in range(2):
        with (folder / f"{index}.monitor.csv").open() as file:
            header = json.loads(file.readline().removeprefix("#"))
            rows += list(csv.DictReader(file))
        assert header["env_id"] == env_id
        assert header["t_start"] > 0
    return rows


@pytest.mark.parametrize("backend", IN_THIS_PROCESS)
def test_monitor_files(backend: str, tmp_path: Path) -> None:
    venv = make_vec("NoisyCartPole-v1", 2, 0, backend, monitor_dir=tmp_path / "log")
    venv.reset()
    rng, episodes = np.random.default_rng(0), 0
    for _ in range(150):
        step = venv.step_arrays(rng.integers(0, 2, 2))  # type: ignore[attr-defined]
        episodes += len(step.episode_returns)
    venv.close()
    rows = read_monitor_files(tmp_path / "log", "NoisyCartPole-v1")
    assert len(rows) == episodes > 5
    assert all(float(row["r"]) == int(row["l"]) and float(row["t"]) >= 0 for row in rows)


@pytest.mark.parametrize("backend", IN_THIS_PROCESS)
def test_sb3s_vec_env_interface(backend: str) -> None:
    venv = make_vec("CartPole-v1", 2, 0, backend, render_mode="rgb_array")
    venv.reset()
    assert venv.env_is_wrapped(Monitor) == [True, True]
    assert venv.env_is_wrapped(gymnasium.wrappers.ClipReward) == [False, False]
    assert venv.get_attr("gravity") == [9.8, 9.8]
    venv.set_attr("marker", 3)
    assert venv.get_attr("marker", [1]) == [3]
    assert not venv.has_attr("no_such_thing")
    assert len(venv.env_method("render")) == 2
    image = venv.render()
    assert image is not None and image.shape == (800, 600, 3)
    assert venv.seed(5) == [5, 6]
    venv.close()


class OddEnds(gymnasium.Env[Any, Any]):
    """Dict observations in one reused buffer; terminates in the very step in which its time is up."""

    observation_space: gymnasium.spaces.Space[Any] = gymnasium.spaces.Dict(
        {"clock": gymnasium.spaces.Box(0, 10, (1,), np.float32), "kind": gymnasium.spaces.Discrete(3)}
    )
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.buffer: dict[str, Any] = {"clock": np.zeros(1, np.float32), "kind": np.int64(2)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.buffer["clock"][:] = 0
        return self.buffer, {}

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.buffer["clock"] += 1
        over = bool(self.buffer["clock"][0] == 3)
        return self.buffer, 1.0, over and action == 1, over, {}


@pytest.mark.parametrize("backend", [InProcessVecEnv, DummyVecEnv])
def test_dict_observations_and_both_flags_at_once(backend: type[DummyVecEnv]) -> None:
    venv = backend([OddEnds, OddEnds])
    venv.reset()
    for _ in range(2):
        step = arrays_from_infos(*venv.step(np.array([0, 1])))
        assert not (step.terminated | step.truncated).any()
    step = arrays_from_infos(*venv.step(np.array([0, 1])))
    assert step.terminated.tolist() == [False, True]
    assert step.truncated.tolist() == [True, False]
    assert isinstance(step.observations, dict) and isinstance(step.final_observations, dict)
    assert step.observations["clock"].tolist() == [[0], [0]]
    if backend is InProcessVecEnv:  # SB3's keeps a reference to the environment's buffer
        assert step.final_observations["clock"].tolist() == [[3], [3]]
    assert step.final_observations["kind"].tolist() == [2, 2]


@pytest.mark.filterwarnings("ignore:.*share an object")
def test_an_environment_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered by its class, without a render_mode, with a Dict and a time limit."""
    monkeypatch.setattr(gymnasium.envs.registration, "registry", gymnasium.registry.copy())
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    gymnasium.register("Users-v3", OddEnds, max_episode_steps=2)
    venv = make_vec("Users-v3", 1, 0, reward_noise=0.1)
    venv.reset()
    venv.step(np.array([0]))
    _, _, dones, infos = venv.step(np.array([0]))
    assert dones == [True]
    assert infos[0]["TimeLimit.truncated"]
    assert (infos[0]["episode"]["r"], infos[0]["episode"]["l"]) == (2.0, 2)
    assert infos[0]["terminal_observation"]["clock"] == [2]
    with pytest.raises(ValueError, match="no parameter 'x'"):
        make_vec("Users-v3", env_kwargs={"x": 1})


class TupleObservations(OddEnds):
    """Observations that SB3 has no policy for."""

    observation_space = gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)])


def test_tuple_observations_are_refused() -> None:
    with pytest.raises(ValueError, match="Tuple observations are not supported"):
        InProcessVecEnv([TupleObservations])
