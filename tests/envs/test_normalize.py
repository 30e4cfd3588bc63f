"""Our VecNormalize against SB3's, and against numbers that would spoil it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common import vec_env
from stable_baselines3.common.vec_env import VecEnv

from envs import VecNormalize, make_vec, normalize
from envs.backends.inprocess import InProcessVecEnv
from envs.compiled import compiled

TASKS = [("CartPole-v1", 4, {"clip_obs": 1.0}), ("HalfCheetah-v5", 1, {}), ("HalfCheetah-v5", 3, {"clip_reward": 0.5})]


def actions_for(venv: VecEnv, steps: int) -> list[np.ndarray]:
    venv.action_space.seed(0)
    return [np.array([venv.action_space.sample() for _ in range(venv.num_envs)]) for _ in range(steps)]


def statistics(venv: vec_env.VecNormalize) -> list[Any]:
    return [getattr(rms, name) for rms in (venv.obs_rms, venv.ret_rms) for name in ("mean", "var", "count")]


@pytest.fixture(params=["compiled", "numpy"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The step in one compiled call, and the step without Numba."""
    if request.param == "numpy":
        monkeypatch.setattr(normalize, "load_kernel", lambda *names: None)
    else:
        pytest.importorskip("numba")
    return request.param


@pytest.mark.parametrize(("env_id", "n", "options"), TASKS)
@pytest.mark.parametrize("training", [True, False])
def test_bit_for_bit_as_sb3(env_id: str, n: int, options: dict[str, float], training: bool, path: str) -> None:
    make = partial(make_vec, env_id, n, 0, "inprocess", max_episode_steps=60)
    by_arrays, by_step, theirs = VecNormalize(make(), **options), VecNormalize(make(), **options), make(normalize=False)
    theirs = vec_env.VecNormalize(theirs, **options)
    first = [venv.reset() for venv in (by_arrays, by_step, theirs)]
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(first[1], first[2])
    for t, actions in enumerate(actions_for(theirs, 2100 // n)):
        if t == 100:
            by_arrays.training = by_step.training = theirs.training = training
        step, (*ours, our_infos), (*reference, infos) = (
            by_arrays.step_arrays(actions),
            by_step.step(actions),
            theirs.step(actions),
        )
        for array, expected in zip(
            (step.observations, step.rewards, step.terminated | step.truncated), reference, strict=True
        ):
            np.testing.assert_array_equal(array, expected)
            assert array.dtype == expected.dtype
        for array, expected in zip(ours, reference, strict=True):
            np.testing.assert_array_equal(array, expected)
        for row in np.flatnonzero(reference[2]):
            np.testing.assert_array_equal(step.final_observations[row], infos[row]["terminal_observation"])
            np.testing.assert_array_equal(our_infos[row]["terminal_observation"], infos[row]["terminal_observation"])
        np.testing.assert_array_equal(by_arrays.get_original_obs(), theirs.get_original_obs())
        np.testing.assert_array_equal(by_arrays.get_original_reward(), theirs.get_original_reward())
    for ours_, theirs_ in zip(statistics(by_arrays) + statistics(by_step), statistics(theirs) * 2, strict=True):
        np.testing.assert_array_equal(ours_, theirs_)
    np.testing.assert_array_equal(by_arrays.returns, theirs.returns)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agreement_with_sb3_over_ten_thousand_steps(dtype: type, path: str) -> None:
    """More environments than NumPy adds one after the other, far from zero, with rewards of many sizes."""
    n, members = 16, [partial(RandomWalk, dtype, seed) for seed in range(16)]
    ours, theirs = VecNormalize(InProcessVecEnv(members)), vec_env.VecNormalize(InProcessVecEnv(members))
    ours.reset(), theirs.reset()
    actions = np.zeros(n, int)
    for _ in range(10_000 // n):
        step, (observations, rewards, *_) = ours.step_arrays(actions), theirs.step(actions)
        np.testing.assert_allclose(step.observations, observations, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(step.rewards, rewards, rtol=1e-6)
        assert step.observations.dtype == step.rewards.dtype == np.float32
    for mine, expected in zip(statistics(ours), statistics(theirs), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-6 if dtype is np.float32 else 1e-12)


class RandomWalk(gymnasium.Env[Any, Any]):
    """Far from zero; 50 steps long."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, dtype: type, seed: int) -> None:
        self.observation_space: Any = gymnasium.spaces.Box(-np.inf, np.inf, (3,), dtype)
        self.rng = np.random.default_rng(seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.place = 0, np.array([100.0, 0.0, -1e-3])
        return self.place.astype(self.observation_space.dtype), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.place += self.rng.normal(0, [1.0, 10.0, 1e-4])
        reward = float(np.exp(3 * self.rng.normal()))
        return self.place.astype(self.observation_space.dtype), reward, self.steps == 50, False, {}


def test_statistics_can_be_assigned_and_are_never_written_into(path: str) -> None:
    ours, theirs = make_vec("CartPole-v1", 2, 0, normalize=True), vec_env.VecNormalize(make_vec("CartPole-v1", 2, 0))
    assert isinstance(ours, VecNormalize)
    ours.reset(), theirs.reset()
    mean, var = np.full(4, 0.5), np.full(4, 2.0)
    for venv in (ours, theirs):
        venv.obs_rms.mean, venv.obs_rms.var, venv.obs_rms.count = mean, var, 10
        venv.ret_rms.mean, venv.ret_rms.var, venv.ret_rms.count = np.array(3.0), np.array(2.0), 10
    for actions in actions_for(theirs, 50):
        step, (observations, rewards, *_) = ours.step_arrays(actions), theirs.step(actions)
        np.testing.assert_array_equal(step.observations, observations)
        np.testing.assert_array_equal(step.rewards, rewards)
    np.testing.assert_array_equal(mean, 0.5)
    np.testing.assert_array_equal(var, 2.0)
    assert ours.ret_rms.copy().count == 110


@pytest.mark.parametrize("mean", [np.zeros(3), np.float64(0.0)])
def test_statistics_of_another_shape_are_not_read_past_their_end(mean: Any, path: str) -> None:
    venv = make_vec("CartPole-v1", 2, 0, normalize=True)
    venv.reset()
    venv.obs_rms.mean = mean
    if mean.shape == ():  # broadcast, as in SB3
        assert np.isfinite(venv.step_arrays(np.array([0, 1])).observations).all()
        return
    with pytest.raises(ValueError, match="broadcast"):
        venv.step_arrays(np.array([0, 1]))


def test_no_folder_for_the_compilers_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba")
    njit = numba.njit

    def without_a_folder(*args: Any, cache: bool = False) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return njit(*args)

    monkeypatch.setattr(numba, "njit", without_a_folder)
    assert compiled(abs_sum)(np.array([-1.0, 2.0])) == 3.0


def abs_sum(values: np.ndarray) -> float:
    return np.abs(values).sum()


def test_any_vec_env_can_be_inside() -> None:
    plain = vec_env.DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * 2)
    ours, theirs = (
        VecNormalize(plain),
        vec_env.VecNormalize(vec_env.DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * 2)),
    )
    for venv in (ours, theirs):
        venv.seed(0)
        venv.reset()
    for actions in actions_for(theirs, 50):
        np.testing.assert_array_equal(ours.step_arrays(actions).observations, theirs.step(actions)[0])


def test_evaluation_env_is_frozen_and_pays_plain_rewards() -> None:
    venv = make_vec("HalfCheetah-v5", 2, 0, normalize={"clip_obs": 5.0, "gamma": 0.9}, training=False)
    assert isinstance(venv, VecNormalize)
    assert (venv.training, venv.norm_obs, venv.norm_reward, venv.clip_obs, venv.gamma) == (False, True, False, 5.0, 0.9)
    venv.reset()
    before = statistics(venv)
    step = venv.step_arrays(np.ones((2, 6), np.float32))
    np.testing.assert_array_equal(step.rewards, venv.get_original_reward())
    assert all(np.array_equal(a, b) for a, b in zip(before, statistics(venv), strict=True))


def test_statistics_of_sb3_can_be_taken_over() -> None:
    theirs = vec_env.VecNormalize(make_vec("CartPole-v1", 2, 0))
    theirs.reset()
    for actions in actions_for(theirs, 30):
        theirs.step(actions)
    ours = make_vec("CartPole-v1", 2, 0, normalize=True)
    assert isinstance(ours, VecNormalize)
    vec_env.sync_envs_normalization(theirs, ours)
    observations = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(ours.normalize_obs(observations), theirs.normalize_obs(observations))
    again = make_vec("CartPole-v1", 2, 1, normalize=True)
    again.set_state(ours.get_state())  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again.obs_rms.mean, theirs.obs_rms.mean)  # type: ignore[attr-defined]


def test_saved_and_loaded(tmp_path: Path, path: str) -> None:
    venv = make_vec("CartPole-v1", 2, 0, normalize=True)
    assert isinstance(venv, VecNormalize)
    venv.reset()
    venv.training = False
    venv.save(str(tmp_path / "vecnormalize.pkl"))
    again = VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), make_vec("CartPole-v1", 2, 0))
    assert isinstance(again, VecNormalize)
    np.testing.assert_array_equal(again.reset(), venv.normalize_obs(again.get_original_obs()))
    assert again.step_arrays(np.array([0, 1])).observations.shape == (2, 4)


def test_rewards_alone() -> None:
    venv = make_vec("CartPole-v1", 2, 0, normalize={"norm_obs": False})
    assert isinstance(venv, VecNormalize)
    venv.reset()
    step = venv.step_arrays(np.array([0, 1]))
    np.testing.assert_array_equal(step.observations, venv.get_original_obs())
    assert (step.rewards != venv.get_original_reward()).all()
