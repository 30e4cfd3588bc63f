"""MuJoCo stepped by arrays, against a plain loop over gymnasium.make and against Gymnasium's infos."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs import make_vec
from envs.backends import mujoco_runners
from envs.backends.mujoco import TASKS, MujocoVecEnv
from envs.noise import NoiseLevels

from .plain_loop import assert_same, plain_loop

IDS = ["HalfCheetah-v5", "Swimmer-v5", "Walker2d-v5", "Hopper-v5", "Ant-v5", "InvertedPendulum-v5"]
KWARGS: list[tuple[str, dict[str, Any]]] = [
    ("HalfCheetah-v5", {"forward_reward_weight": 2.0, "ctrl_cost_weight": 0.3, "reset_noise_scale": 0.4}),
    ("HalfCheetah-v5", {"exclude_current_positions_from_observation": False, "frame_skip": 2}),
    ("HalfCheetah-v5", {"ctrl_cost_weight": np.float64(0.3)}),
    ("Swimmer-v5", {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": 1.0}),
    ("Walker2d-v5", {"healthy_z_range": (1.1, 1.3), "healthy_angle_range": (-0.1, 0.1), "healthy_reward": 0.25}),
    ("Walker2d-v5", {"xml_file": "walker2d.xml", "terminate_when_unhealthy": False}),
    ("Hopper-v5", {"healthy_state_range": (-1.0, 1.0), "exclude_current_positions_from_observation": False}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "healthy_reward": 3}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.1, "main_body": "torso"}),
    ("Ant-v5", {"contact_force_range": (-0.1, 0.2), "exclude_current_positions_from_observation": False}),
]


@pytest.fixture(params=["compiled", "numpy"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The compiled step, and the step without Numba."""
    if request.param == "numpy":
        monkeypatch.setattr(mujoco_runners, "load_kernel", lambda *names: None)
    else:
        pytest.importorskip("numba")
    return request.param


def random_actions(env_id: str, steps: int, n: int) -> np.ndarray:
    space = gymnasium.spec(env_id).make().action_space
    assert isinstance(space, gymnasium.spaces.Box)
    rng = np.random.default_rng(0)
    return rng.uniform(1.2 * space.low, 1.2 * space.high, (steps, n, *space.shape)).astype(np.float32)


def compare(env_id: str, n: int, steps: int, limit: int, **kwargs: Any) -> dict[str, int]:
    actions = random_actions(env_id, steps // n, n)
    venv = make_vec(env_id, n, 0, "inprocess", max_episode_steps=limit, env_kwargs=kwargs)
    assert isinstance(venv, MujocoVecEnv)
    reference = plain_loop(lambda: gymnasium.make(env_id, max_episode_steps=limit, **kwargs), n, 0, actions)
    return assert_same(venv, reference, actions)


def test_half_cheetah_over_ten_thousand_steps(path: str) -> None:
    assert compare("HalfCheetah-v5", 4, 10_000, 500) == {"terminated": 0, "truncated": 20}


def test_one_half_cheetah(path: str) -> None:
    assert compare("HalfCheetah-v5", 1, 1000, 200) == {"terminated": 0, "truncated": 5}


@pytest.mark.parametrize("env_id", IDS)
def test_every_task(env_id: str, path: str) -> None:
    counts = compare(env_id, 3, 900, 60)
    assert sum(counts.values()) >= 15


@pytest.mark.parametrize(("env_id", "kwargs"), KWARGS)
def test_arguments_of_the_environment_are_heeded(env_id: str, kwargs: dict[str, Any], path: str) -> None:
    compare(env_id, 2, 400, 60, **kwargs)


def test_every_class_is_tested() -> None:
    assert sorted(TASKS) == sorted(str(gymnasium.spec(env_id).entry_point) for env_id in IDS)


@pytest.mark.parametrize("env_id", IDS)
def test_sb3s_step_has_gymnasiums_infos(env_id: str, path: str) -> None:
    ours = make_vec(env_id, 2, 3, "inprocess", max_episode_steps=20)
    theirs = make_vec(env_id, 2, 3, "dummy", max_episode_steps=20)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    assert repr(ours.reset_infos) == repr(theirs.reset_infos)
    for actions in random_actions(env_id, 50, 2):
        (*arrays, infos), (*reference, their_infos) = ours.step(actions), theirs.step(actions)
        for array, expected in zip(arrays, reference, strict=True):
            np.testing.assert_array_equal(array, expected)
            assert array.dtype == expected.dtype
        for info, expected in zip(infos, their_infos, strict=True):
            assert info.keys() == expected.keys()
            for key in info.keys() - {"episode"}:
                np.testing.assert_array_equal(info[key], expected[key])
            if "episode" in info:
                assert {key: info["episode"][key] for key in "rl"} == {key: expected["episode"][key] for key in "rl"}


def test_noise_leaves_physics_and_returns_clean() -> None:
    noisy = make_vec("Hopper-v5", 4, 0, "inprocess", reward_noise=2.0, observation_noise=0.1)
    clean = make_vec("Hopper-v5", 4, 0, "inprocess")
    assert isinstance(noisy, MujocoVecEnv)
    assert np.std(noisy.reset() - clean.reset()) == pytest.approx(0.1, rel=0.3)
    differences, errors, returns = [], [], 0
    for actions in random_actions("Hopper-v5", 300, 4):
        seen, true = noisy.step_arrays(actions), clean.step_arrays(actions)
        np.testing.assert_array_equal(seen.terminated, true.terminated)
        np.testing.assert_array_equal(seen.episode_returns, true.episode_returns)
        differences.append(seen.rewards - true.rewards)
        errors.append(seen.observations - true.observations)
        ended = true.terminated
        errors.append((seen.final_observations - true.final_observations)[ended])
        returns += len(true.episode_returns)
    assert returns > 10
    assert np.std(differences) == pytest.approx(2.0, rel=0.1)
    assert np.std(np.concatenate(errors)) == pytest.approx(0.1, rel=0.05)
    assert noisy.observation_space.dtype == np.float64
    assert noisy.noise.levels == NoiseLevels.parse(2.0, 0.1)


def test_the_environments_are_real() -> None:
    venv = make_vec("HalfCheetah-v5", 2, 0, "inprocess", render_mode="rgb_array")
    assert isinstance(venv, MujocoVecEnv)
    venv.reset()
    states = [np.split(env.data.qpos.copy(), [9])[0] for env in venv.task.envs]
    venv.env_method("set_state", states[0], np.zeros(9), indices=1)
    step = venv.step_arrays(np.zeros((2, 6), np.float32))
    expected = gymnasium.make("HalfCheetah-v5")
    expected.reset()
    expected.unwrapped.set_state(states[0], np.zeros(9))
    observation, reward, *_ = expected.step(np.zeros(6, np.float32))
    np.testing.assert_array_equal(step.observations[1], observation)
    assert step.rewards[1] == np.float32(reward)
    assert venv.get_attr("frame_skip") == [5, 5]
    venv.env_method("set_wrapper_attr", "_forward_reward_weight", 0.0)
    assert venv.get_attr("_forward_reward_weight") == [0.0, 0.0]
    still = venv.step_arrays(np.zeros((2, 6), np.float32))
    np.testing.assert_array_equal(still.rewards, [0.0, 0.0])
    with pytest.raises(ValueError, match="_ctrl_cost_weight: environments stepped as arrays must share it"):
        venv.env_method("set_wrapper_attr", "_ctrl_cost_weight", 1.0, indices=[0])


def test_actions_of_another_shape() -> None:
    venv = make_vec("HalfCheetah-v5", 2, 0)
    venv.reset()
    with pytest.raises(ValueError, match=r"actions of shape \(2, 1\): must be \(2, 6\)"):
        venv.step_arrays(np.zeros((2, 1), np.float32))


@pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Ant-v5", "InvertedPendulum-v5"])
def test_a_copy_has_simulators_of_its_own(env_id: str, path: str) -> None:
    venv = make_vec(env_id, 2, 0, "inprocess")
    actions = random_actions(env_id, 20, 2)
    venv.reset()
    step = venv.step_arrays(actions[0])
    copied = copy.deepcopy(venv)
    assert str(copied.step_infos(step)) == str(venv.step_infos(step))
    steps = []
    for own in (venv, copied):
        own.seed(3)
        own.reset()
    for action in actions:
        steps.append([own.step_arrays(action) for own in (venv, copied)])
    for step, same in steps:
        np.testing.assert_array_equal(same.observations, step.observations)
        np.testing.assert_array_equal(same.rewards, step.rewards)
    assert not np.array_equal(steps[-1][0].observations, steps[0][0].observations)


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", ">f4", "float64"])
@pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Walker2d-v5"])
def test_actions_of_any_type_cost_what_they_cost_in_gymnasium(env_id: str, dtype: str, path: str) -> None:
    actions = (2 * random_actions(env_id, 30, 1)).astype(dtype)
    venv = make_vec(env_id, 1, 0, "inprocess", max_episode_steps=20)
    reference = plain_loop(lambda: gymnasium.make(env_id, max_episode_steps=20), 1, 0, actions)
    assert_same(venv, reference, actions)


def test_a_simulator_that_was_replaced_is_stepped_from_the_next_reset_on(path: str) -> None:
    venv, other = (make_vec("HalfCheetah-v5", 1, 0, "inprocess") for _ in range(2))
    assert isinstance(venv, MujocoVecEnv)
    env = venv.envs[0].unwrapped
    env.model, env.data = env._initialize_simulation()  # type: ignore[attr-defined]
    for own in (venv, other):
        own.reset()
    for action in random_actions("HalfCheetah-v5", 5, 1):
        steps = [own.step_arrays(action) for own in (venv, other)]
        np.testing.assert_array_equal(steps[0].observations, steps[1].observations)
