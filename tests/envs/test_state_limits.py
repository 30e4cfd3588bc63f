"""States that don't fit are refused with a reason, and what can't be saved exactly says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from envs import make_vec
from envs.sticky_frames import StickyFrames


class Walk(gymnasium.Env[np.ndarray, Any]):
    """A random walk which counts its steps in an iterator, whose state Python does not show."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = spaces.Box(-np.inf, np.inf, (1,)), spaces.Discrete(2)
        self.steps, self.place = itertools.count(), 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.place = self.np_random.normal()
        return np.array([self.place], np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place += self.np_random.normal() + action + next(self.steps)
        return np.array([self.place], np.float32), 0.0, False, False, {}


class ExactWalk(Walk):
    """The same, which says itself what its state is."""

    def get_exact_state(self) -> dict[str, Any]:
        return {"steps": next(deepcopy(self.steps)), "place": self.place, "rng": self.np_random}

    def set_exact_state(self, state: dict[str, Any]) -> None:
        self.steps, self.place, self.np_random = itertools.count(state["steps"]), state["place"], state["rng"]


@pytest.fixture(autouse=True)
def registered() -> Any:
    for cls in (Walk, ExactWalk):
        gymnasium.register(f"{cls.__name__}-v0", cls, max_episode_steps=50)
    yield
    for cls in (Walk, ExactWalk):
        del gymnasium.registry[f"{cls.__name__}-v0"]


def saved(*args: Any, **kwargs: Any) -> dict[str, Any]:
    venv = make_vec(*args, **kwargs)
    venv.reset()
    return venv.get_state()  # type: ignore[attr-defined]


def older(state: dict[str, Any]) -> dict[str, Any]:
    """As if saved with another version of MuJoCo."""
    state["envs"][0]["versions"]["mujoco"] = "2.1"
    return state


@pytest.mark.parametrize(
    ("state", "target", "message"),
    [
        (lambda: saved("CartPole-v1", 2, 0), ("CartPole-v1", 3, 0), "n_envs was 2, it is 3"),
        (lambda: saved("CartPole-v1", 2, 0, "native"), ("CartPole-v1", 2, 0, "inprocess"), "kind was 'native'"),
        (lambda: saved("Acrobot-v1", 1, 0), ("Pendulum-v1", 1, 0), "was 'gymnasium.envs.classic_control.acrobot"),
        (lambda: saved("Pendulum-v1", 1, 0, env_kwargs={"g": 9.0}), ("Pendulum-v1", 1, 0), "arguments g was '9.0'"),
        (lambda: saved("Pendulum-v1", 1, 0, max_episode_steps=9), ("Pendulum-v1", 1, 0), "max_episode_steps was '9'"),
        (lambda: saved("Pendulum-v1", 1, 0, reward_noise=0.5), ("Pendulum-v1", 1, 0), "wrappers was"),
        (lambda: saved("Hopper-v5", 1, 0, reward_noise=0.5), ("Hopper-v5", 1, 0), r"(noise|wrappers) was"),
        (lambda: saved("NoisyCartPole-v1", 2, 0, "native"), ("CartPole-v1", 2, 0, "native"), "id was 'NoisyCartPole"),
        (lambda: saved("CartPole-v1", 1, 0, normalize=True), ("CartPole-v1", 1, 0), "kind was 'VecNormalize'"),
        (
            lambda: saved("CartPole-v1", 1, 0, normalize={"norm_obs": False}),
            ("CartPole-v1", 1, 0, "auto", {"norm_obs": False, "gamma": 0.9}),
            "VecNormalize gamma was 0.99, it is 0.9 here",
        ),
        (lambda: older(saved("Hopper-v5", 1, 0, "dummy")), ("Hopper-v5", 1, 0, "dummy"), "with mujoco 2.1, this is"),
        (lambda: {"observations": 1}, ("CartPole-v1", 1, 0), "not what get_state"),
        (lambda: {"format": 1}, ("CartPole-v1", 1, 0), "kind was None, it is 'environments'"),
    ],
)
def test_states_that_do_not_fit(state: Callable[[], Any], target: tuple[Any, ...], message: str) -> None:
    venv: Any = make_vec(*target)
    first = venv.reset()
    with pytest.raises(ValueError, match=message):
        venv.set_state(state())
    venv.seed(0)
    np.testing.assert_array_equal(venv.reset(), first)  # and nothing was changed


def test_a_state_that_does_not_fit_does_not_end_a_process() -> None:
    venv: Any = make_vec("CartPole-v1", 1, 0, "subproc")
    venv.reset()
    with pytest.raises(ValueError, match=r"environment class was 'gymnasium.*PendulumEnv'"):
        venv.set_state(saved("Pendulum-v1", 1, 0))
    venv.step_async(np.array([1]))
    with pytest.raises(RuntimeError, match="between step_async and step_wait"):
        venv.get_state()
    venv.step_wait()
    venv.close()


def test_a_changed_mujoco_model_is_noticed() -> None:
    heavy, light = make_vec("Hopper-v5", 1, 0), make_vec("Hopper-v5", 1, 0)
    heavy.reset()
    heavy.get_attr("model")[0].body_mass[1] *= 2
    with pytest.raises(ValueError, match="the MuJoCo model is not the one that was saved"):
        light.set_state(heavy.get_state())  # type: ignore[attr-defined]


def test_bytes_that_are_no_emulator_state() -> None:
    venv: Any = make_vec("PongNoFrameskip-v4", 1, 0, exact=True)
    venv.reset()
    state = venv.get_state()
    ale = [part for part in walk(state) if part.get("kind") == "ale_py.ALEInterface"]
    assert len(ale) == 1
    ale[0]["bytes"] = b"abc"
    with pytest.raises(ValueError, match="the emulator can't read it"):
        venv.set_state(state)


def walk(value: Any) -> list[dict[str, Any]]:
    """All dictionaries inside a state."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] * isinstance(value, dict) + [part for child in children for part in walk(child)]


BOUNDARY = [("Walk-v0", "dummy"), ("Walk-v0", "inprocess"), ("ALE/Pong-v5", "inprocess"), ("ALE/Pong-v5", "ale")]


@pytest.mark.parametrize(("env_id", "backend"), BOUNDARY)
def test_boundary(env_id: str, backend: str) -> None:
    def make(seed: int | None) -> Any:
        return make_vec(env_id, 2, seed, backend)

    def first_steps(venv: Any) -> list[bytes]:
        actions = np.random.default_rng(1).integers(0, 2, (30, 2))
        return [venv.reset().tobytes(), *(venv.step_arrays(row).observations.tobytes() for row in actions)]

    run = make(5)
    beginning = first_steps(run)
    state = run.get_state()
    run.step_arrays(np.array([0, 1]))
    later = run.get_state()
    assert state["level"] == run.state_level == "boundary"
    assert state["reason"]
    assert state["restart_seeds"] != later["restart_seeds"]
    resumed, again = make(6), make(None)
    for venv in (resumed, again):
        venv.reset()
        venv.set_state(state)
    assert resumed.action_space.sample() == again.action_space.sample() == run.action_space.sample()
    one, other = first_steps(resumed), first_steps(again)
    assert one == other  # both go on in the same way
    assert one != beginning  # which is not how the run began


def test_boundary_demands_a_reset() -> None:
    venv: Any = make_vec("Walk-v0", 1, 0)
    venv.reset()
    venv.set_state(venv.get_state())
    with pytest.raises(RuntimeError, match="needs reset"):
        venv.step(np.array([0]))
    venv.reset()
    venv.step(np.array([0]))


def test_an_environment_that_states_its_own_state() -> None:
    one, other = make_vec("ExactWalk-v0", 2, 0), make_vec("ExactWalk-v0", 2, 1)
    for venv in (one, other):
        venv.reset()
        venv.step(np.array([0, 1]))
    other.set_state(one.get_state())  # type: ignore[attr-defined]
    for _ in range(120):
        np.testing.assert_array_equal(one.step(np.array([0, 1]))[0], other.step(np.array([0, 1]))[0])


@pytest.mark.parametrize("backend", ["auto", "dummy"])
def test_exact_refuses_what_can_not_be_saved(backend: str) -> None:
    with pytest.raises(ValueError, match=r"exact=True.*Walk-v0.steps: an object of itertools.count"):
        make_vec("Walk-v0", 1, 0, backend, exact=True)


def test_exact_chooses_a_backend() -> None:
    with pytest.raises(ValueError, match="backend='ale' has no exact state; backends that do: inprocess, dummy"):
        make_vec("ALE/Pong-v5", 1, 0, "ale", exact=True)
    for env_id in ("ALE/Pong-v5", "PongNoFrameskip-v4", "CartPole-v1", "ExactWalk-v0"):
        venv: Any = make_vec(env_id, 8, 0, exact=True)
        assert venv.state_level == "exact"
        venv.close()


class Frames(gymnasium.Env[np.ndarray, Any]):
    """Games of 5 frames; writes down what was executed."""

    observation_space, action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(1000)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.executed: list[int] = []
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.executed.append(int(action))
        return np.zeros(1, np.float32), 0.0, False, False, {}


def test_sticky_frames_follow_the_law_of_the_emulator() -> None:
    """Each frame repeats what the frame before executed with probability p, and that before the first is action 0."""
    env, games, p = StickyFrames(Frames(), 0.25), 4000, 0.25
    delays = np.empty((games, 5))
    for game in range(games):
        env.reset(seed=0 if game == 0 else None)
        for action in range(1, 6):
            env.step(action)
        delays[game] = np.arange(1, 6) - env.unwrapped.executed  # type: ignore[attr-defined]
    expected = [[p**k * (1 - p) for k in range(frame)] + [p**frame] for frame in range(1, 6)]
    for frame, shares in enumerate(expected):
        found = [np.mean(delays[:, frame] == k) for k in range(frame + 2)]
        np.testing.assert_allclose(found, shares, atol=4 * np.sqrt(0.25 / games))
