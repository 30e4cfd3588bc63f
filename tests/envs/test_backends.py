"""Each backend against a plain loop over gymnasium.make, transition by transition."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.wrappers import AtariPreprocessing
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from envs import StepArrays, make_vec
from envs.backends.arrays import array_step
from envs.backends.cartpole import step_states
from envs.backends.choice import NATIVE_PAYS_FROM
from envs.backends.inprocess import InProcessVecEnv
from envs.backends.native import NativeVecEnv
from envs.mujoco import quiet_deprecations

IN_THIS_PROCESS = ("inprocess", "dummy", "native")  # subproc takes seconds to start: one test has it all


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


@pytest.mark.parametrize("backend", ["inprocess", "dummy"])
def test_cartpole(backend: str) -> None:
    actions = np.random.default_rng(0).integers(0, 2, (1200, 3))
    reference = plain_loop(lambda: gymnasium.make("CartPole-v1", max_episode_steps=25), 3, 7, actions)
    counts = assert_same(make_vec("CartPole-v1", 3, 7, backend, max_episode_steps=25), reference, actions)
    assert min(counts.values()) > 30


@pytest.mark.parametrize("backend", ["inprocess", "dummy"])
@pytest.mark.parametrize("n", [1, 3])
def test_half_cheetah(backend: str, n: int) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (1200 // n, n, 6)).astype(np.float32)
    reference = plain_loop(lambda: gymnasium.make("HalfCheetah-v5", max_episode_steps=150), n, 0, actions)
    counts = assert_same(make_vec("HalfCheetah-v5", n, 0, backend, max_episode_steps=150), reference, actions)
    assert counts == {"terminated": 0, "truncated": 1200 // n // 150 * n}


class StackedByHand(gymnasium.Wrapper):
    """The last four frames, and the sign of the reward."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        frame, info = self.env.reset(**kwargs)
        self.frames = [np.zeros_like(frame)] * 3 + [frame]
        return np.array(self.frames), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        frame, reward, terminated, truncated, info = self.env.step(action)
        self.frames = [*self.frames[1:], frame]
        return np.array(self.frames), float(np.sign(reward)), terminated, truncated, info  # type: ignore[call-overload]


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "PongNoFrameskip-v4"])
def test_pong(env_id: str) -> None:
    def make() -> gymnasium.Env:
        env = AtariPreprocessing(gymnasium.make(env_id, frameskip=1))
        return StackedByHand(gymnasium.wrappers.TimeLimit(env, 130))

    actions = np.random.default_rng(0).integers(0, 6, (550, 2))
    counts = assert_same(
        make_vec(env_id, 2, 0, "inprocess", max_episode_steps=130), plain_loop(make, 2, 0, actions), actions
    )
    assert counts == {"terminated": 0, "truncated": 8}


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
    for _ in range(1000):
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
            ours.state = theirs.state = rng.normal(0, 0.1, (4, n))
            theirs.prev_done[:] = False
            theirs.steps[:] = 0


def test_native_refuses_actions_that_cartpole_does_not_have() -> None:
    venv = make_vec("CartPole-v1", 2, 0, "native")
    venv.reset()
    for bad in ([0, 2], [-1, 0]):
        with pytest.raises(ValueError, match="must be 0 or 1"):
            venv.step_arrays(np.array(bad))


def count_rows(venv: VecEnv, steps: int) -> None:
    """Every row is a step of some episode, and an episode's end is followed by a first observation.

    Stepping an ended CartPole, or handing out the row of a late reset, breaks one of the two.
    """
    venv.reset()
    recorded, under_way = 0, np.zeros(venv.num_envs, int)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        step = array_step(venv, rng.integers(0, 2, venv.num_envs))
        ended = step.terminated | step.truncated
        assert (step.rewards == 1).all()
        assert (np.abs(step.observations[ended]) <= 0.05).all()  # type: ignore[index]
        assert (np.abs(step.final_observations[step.terminated]).max(axis=-1) > 0.2).all()  # type: ignore[index]
        under_way += 1
        assert step.episode_lengths.tolist() == under_way[ended].tolist()
        recorded += step.episode_lengths.sum()
        under_way[ended] = 0
    assert recorded + under_way.sum() == steps * venv.num_envs
    assert recorded > steps


@pytest.mark.parametrize("backend", IN_THIS_PROCESS)
def test_no_row_outside_an_episode(backend: str) -> None:
    count_rows(make_vec("CartPole-v1", 2, 0, backend), 200)


class LateReset(NativeVecEnv):
    """The misuse: Gymnasium's next-step resets taken for same-step ones."""

    def _restart(self, rows: np.ndarray) -> np.ndarray:
        return self.vector.state.T[rows].astype(np.float32)  # type: ignore[union-attr]


def test_the_row_count_notices_late_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.backends.choice.NativeVecEnv", LateReset)
    with pytest.raises(AssertionError):
        count_rows(make_vec("CartPole-v1", 2, 0, "native"), 200)


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


def test_inprocess_steps_like_sb3s_dummy() -> None:
    ours = make_vec("HalfCheetah-v5", 2, 3, "inprocess", max_episode_steps=40)
    theirs = make_vec("HalfCheetah-v5", 2, 3, "dummy", max_episode_steps=40)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    rng = np.random.default_rng(0)
    for _ in range(100):
        actions = rng.uniform(-1, 1, (2, 6)).astype(np.float32)
        (*arrays, infos), (*reference, their_infos) = ours.step(actions), theirs.step(actions)
        for array, expected in zip(arrays, reference, strict=True):
            np.testing.assert_array_equal(array, expected)
            assert array.dtype == expected.dtype
        for info, expected in zip(infos, their_infos, strict=True):
            assert info.keys() == expected.keys()
            for key in info.keys() - {"episode"}:
                np.testing.assert_array_equal(info[key], expected[key])


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


def test_worker_processes(tmp_path: Path) -> None:
    actions = np.random.default_rng(0).integers(0, 2, (300, 2))
    venv = make_vec("CartPole-v1", 2, 7, "subproc", max_episode_steps=25, monitor_dir=tmp_path)
    try:
        reference = plain_loop(lambda: gymnasium.make("CartPole-v1", max_episode_steps=25), 2, 7, actions)
        counts = assert_same(venv, reference, actions)
        assert min(counts.values()) > 3
        assert len(read_monitor_files(tmp_path, "CartPole-v1")) == sum(counts.values())
        assert venv.env_is_wrapped(Monitor) == [True, True]
        assert venv.get_attr("gravity", 1) == [9.8]
        count_rows(venv, 100)
    finally:
        venv.close()


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


def test_native_rows_cannot_be_addressed_singly() -> None:
    venv = make_vec("CartPole-v1", 2, 0, "native")
    for call in (lambda: venv.set_attr("gravity", 1.0, 0), lambda: venv.env_method("close", indices=[1])):
        with pytest.raises(ValueError, match="use backend='inprocess'"):
            call()


def test_auto_picks_the_cheaper_backend() -> None:
    assert isinstance(make_vec("CartPole-v1", NATIVE_PAYS_FROM), NativeVecEnv)
    assert isinstance(make_vec("CartPole-v1", NATIVE_PAYS_FROM - 1), InProcessVecEnv)
    assert isinstance(make_vec("CartPole-v1", NATIVE_PAYS_FROM, frame_stack=2), InProcessVecEnv)
    assert isinstance(make_vec("HalfCheetah-v5", 1), InProcessVecEnv)


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
        step = array_step(venv, np.array([0, 1]))
        assert not (step.terminated | step.truncated).any()
    step = array_step(venv, np.array([0, 1]))
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
