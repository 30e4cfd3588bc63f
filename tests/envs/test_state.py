"""A run that is saved and gone on with elsewhere does what it would have done, to the bit."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnv

from agents.training import safe_zip
from envs import make_vec
from envs.state import flatten, unflatten

NOISE: dict[str, Any] = {
    "reward_noise": "student_t:0.5",
    "observation_noise": 0.1,
    "sticky_actions": 0.2,
    "random_action": 0.1,
    "reward_delay": 3,
}


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """The state after a round trip through strict JSON and safetensors."""
    header, arrays = flatten(state)
    file = io.BytesIO()
    safe_zip.write(file, {"environments": header}, arrays)
    file.seek(0)
    header, arrays = safe_zip.read(file)
    return unflatten(header["environments"], arrays)


def actions_for(venv: VecEnv, steps: int) -> np.ndarray:
    """Random actions [T, N, ...]."""
    venv.action_space.seed(11)
    actions = np.array([[venv.action_space.sample() for _ in range(venv.num_envs)] for _ in range(steps)])
    venv.action_space.seed(0)
    return actions


def played(venv: VecEnv, actions: np.ndarray) -> Iterator[tuple[bytes, ...]]:
    """Every field of every step, as bytes."""
    for row in actions:
        step = venv.step_arrays(row)  # type: ignore[attr-defined]
        final, ended = step.final_observations, step.terminated | step.truncated
        kept = {key: part[ended] for key, part in final.items()} if isinstance(final, dict) else final[ended]
        yield tuple(as_bytes(field) for field in step._replace(final_observations=kept))


def as_bytes(field: Any) -> bytes:
    return b"".join(map(as_bytes, field.values())) if isinstance(field, dict) else np.ascontiguousarray(field).tobytes()


def first_difference(one: list[tuple[bytes, ...]], other: list[tuple[bytes, ...]]) -> int | None:
    """The first step at which two records differ."""
    return next((step for step, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)


def assert_goes_on(make: Callable[[int], VecEnv], before: int, after: int, disturbed: int = 23) -> dict[str, Any]:
    """Saved after `before` steps; then the run itself, an undisturbed one and a resumed one for `after` steps each."""
    original, undisturbed, resumed = make(5), make(5), make(77)
    actions = actions_for(original, before + after)
    for venv in (original, undisturbed, resumed):
        venv.reset()
    for venv in (original, undisturbed):
        list(played(venv, actions[:before]))
    list(played(resumed, actions[:disturbed]))
    original.action_space.sample()
    state = original.get_state()  # type: ignore[attr-defined]
    assert state["level"] == "exact" == original.state_level  # type: ignore[attr-defined]
    sampled = original.action_space.sample()
    expected = list(played(original, actions[before:]))
    assert first_difference(expected, list(played(undisturbed, actions[before:]))) is None
    resumed.set_state(through_a_file(state))  # type: ignore[attr-defined]
    assert np.array_equal(resumed.action_space.sample(), sampled)
    assert first_difference(expected, list(played(resumed, actions[before:]))) is None
    for venv in (original, undisturbed, resumed):
        venv.close()
    return state


CLASSIC = ("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "NChain-v0", "DeepSea-v0")
MUJOCO = ("HalfCheetah-v5", "Hopper-v5", "Ant-v5", "Humanoid-v5")


@pytest.mark.parametrize("env_id", CLASSIC)
def test_one_by_one(env_id: str) -> None:
    assert_goes_on(lambda seed: make_vec(env_id, 2, seed, "inprocess"), 137, 5000)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("env_id", ["FrozenLakeFeatures-v0", "ProbeActionDict-v0", "MountainCarContinuous-v0"])
def test_more_kinds_of_environments(env_id: str, normalize: bool) -> None:
    assert_goes_on(lambda seed: make_vec(env_id, 2, seed, "inprocess", normalize), 50, 300)


def test_discrete_observations() -> None:
    state = assert_goes_on(lambda seed: make_vec("Taxi-v4", 2, seed, "inprocess"), 50, 300)
    assert len(json.dumps(flatten(state)[0])) < 20_000  # without the table of its transitions


@pytest.mark.parametrize(("noise", "normalize"), [({}, False), (NOISE, True)])
def test_native_cartpole(noise: dict[str, Any], normalize: bool) -> None:
    assert_goes_on(lambda seed: make_vec("CartPole-v1", 8, seed, "native", normalize, **noise), 137, 5000)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_noise_wrappers_and_stacked_frames_and_normaliser(env_id: str) -> None:
    assert_goes_on(lambda seed: make_vec(env_id, 2, seed, "dummy", True, frame_stack=3, **NOISE), 137, 1000)


@pytest.mark.parametrize("env_id", MUJOCO)
def test_mujoco(env_id: str) -> None:
    steps = 5000 if env_id == "HalfCheetah-v5" else 500
    state = assert_goes_on(lambda seed: make_vec(env_id, 1, seed), 137, steps)
    assert sum(array.nbytes for array in flatten(state)[1].values()) < 50_000


@pytest.mark.slow
@pytest.mark.parametrize("env_id", MUJOCO[1:])
def test_mujoco_for_long(env_id: str) -> None:
    assert_goes_on(lambda seed: make_vec(env_id, 2, seed), 137, 5000)


def test_mujoco_with_everything() -> None:
    assert_goes_on(lambda seed: make_vec("Hopper-v5", 3, seed, normalize=True, **NOISE), 137, 300)


@pytest.mark.parametrize("before", [0, 1, 24, 25, 26])
@pytest.mark.parametrize("backend", ["inprocess", "native"])
def test_right_after_a_reset_and_right_before_a_truncation(backend: str, before: int) -> None:
    assert_goes_on(lambda seed: make_vec("CartPole-v1", 3, seed, backend, max_episode_steps=25), before, 200)


@pytest.mark.parametrize("before", [0, 24, 25])
def test_mujoco_around_a_truncation(before: int) -> None:
    assert_goes_on(lambda seed: make_vec("HalfCheetah-v5", 2, seed, max_episode_steps=25), before, 60)


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "NChain-v0"])
def test_before_the_first_reset(env_id: str) -> None:
    one, other = make_vec(env_id, 2, 3), make_vec(env_id, 2, 4)
    other.set_state(through_a_file(one.get_state()))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(one.reset(), other.reset())  # the pending seeds are part of the state


def pong(seed: int, **kwargs: Any) -> VecEnv:
    return make_vec("ALE/Pong-v5", 2, seed, exact=True, **kwargs)


def test_atari_with_sticky_actions() -> None:
    assert_goes_on(pong, 40, 120)


def test_atari_in_the_middle_of_a_game_of_several_lives() -> None:
    assert_goes_on(lambda seed: make_vec("ALE/Breakout-v5", 2, seed, exact=True, max_episode_steps=80), 60, 80)


@pytest.mark.slow
def test_atari_for_long() -> None:
    assert_goes_on(pong, 700, 5000)


def test_states_move_between_backends_that_step_one_by_one() -> None:
    one = make_vec("Acrobot-v1", 2, 5, "inprocess")
    actions = actions_for(one, 700)
    one.reset()
    list(played(one, actions[:100]))
    state = through_a_file(one.get_state())  # type: ignore[attr-defined]
    expected = list(played(one, actions[100:]))
    for backend in ("dummy", "subproc"):
        other = make_vec("Acrobot-v1", 2, 6, backend)
        other.set_state(state)  # type: ignore[attr-defined]
        list(played(other, actions[100:150]))
        back = other.get_state()  # type: ignore[attr-defined]
        assert first_difference(expected[50:], list(played(other, actions[150:]))) is None
        other.close()
        one.set_state(through_a_file(back))  # type: ignore[attr-defined]
        assert first_difference(expected[50:], list(played(one, actions[150:]))) is None


ACROSS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"backend": "native", **NOISE},
    "Ant-v5": {"normalize": True},
    "Breakout-v5": {"exact": True},
}


def save_or_go_on(env_id: str, path: str) -> None:
    """To a folder: 50 steps, then save. From a file: load. Then 50 more steps, whose digest is printed."""
    name = f"ALE/{env_id}" if env_id == "Breakout-v5" else env_id
    venv = make_vec(name, 2, 5, **ACROSS[env_id])
    actions = actions_for(venv, 100)
    if not path.endswith(".zip"):
        venv.reset()
        list(played(venv, actions[:50]))
        header, arrays = flatten(venv.get_state())  # type: ignore[attr-defined]
        safe_zip.write(f"{path}/state.zip", {"environments": header}, arrays)
    else:
        header, arrays = safe_zip.read(path)
        venv.set_state(unflatten(header["environments"], arrays))  # type: ignore[attr-defined]
    record = repr(list(played(venv, actions[50:]))).encode()
    print(hashlib.sha256(record).hexdigest())


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ACROSS)
def test_another_process_goes_on(env_id: str, tmp_path: Path) -> None:
    digests = []
    for path in (tmp_path, tmp_path / "state.zip"):
        code = f"from tests.envs.test_state import save_or_go_on as f; f({env_id!r}, {str(path)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        digests.append(done.stdout.split()[-1])
    assert digests[0] == digests[1]


def test_episode_accumulators_and_history_go_along() -> None:
    one, other = make_vec("CartPole-v1", 2, 5, "inprocess"), make_vec("CartPole-v1", 2, 6, "inprocess")
    actions = actions_for(one, 200)
    one.reset()
    list(played(one, actions))
    other.set_state(one.get_state())  # type: ignore[attr-defined]
    for name in ("get_episode_rewards", "get_episode_lengths", "get_episode_times", "get_total_steps"):
        assert one.env_method(name) == other.env_method(name)
