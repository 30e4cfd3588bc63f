"""Which backend is picked, and what is said of one that can't be."""

from __future__ import annotations

import sys

import pytest

from envs import make_vec
from envs.backends.choice import BACKENDS, NATIVE_PAYS_FROM
from envs.backends.inprocess import InProcessVecEnv
from envs.backends.mujoco import MujocoVecEnv
from envs.backends.native import NativeVecEnv
from experiment.flags import VEC_ENVS


def test_auto_picks_the_cheaper_backend() -> None:
    assert type(make_vec("CartPole-v1", NATIVE_PAYS_FROM)) is NativeVecEnv
    assert type(make_vec("CartPole-v1", NATIVE_PAYS_FROM - 1)) is InProcessVecEnv
    assert type(make_vec("CartPole-v1", NATIVE_PAYS_FROM, frame_stack=2)) is InProcessVecEnv
    assert type(make_vec("HalfCheetah-v5", 1)) is MujocoVecEnv


@pytest.mark.parametrize(
    ("env_id", "options", "expected"),
    [
        ("Hopper-v5", {}, MujocoVecEnv),
        ("Hopper-v5", {"reward_noise": 1.0, "env_kwargs": {"ctrl_cost_weight": 0.5}}, MujocoVecEnv),
        ("Hopper-v5", {"frame_stack": 2}, InProcessVecEnv),
        ("Reacher-v5", {}, InProcessVecEnv),
        ("Pendulum-v1", {}, InProcessVecEnv),
    ],
)
def test_inprocess_steps_mujoco_by_arrays_where_it_can(env_id: str, options: dict, expected: type) -> None:
    assert type(make_vec(env_id, 1, 0, "inprocess", **options)) is expected


def test_the_command_line_has_the_same_backends() -> None:
    assert VEC_ENVS == BACKENDS


def test_unknown_backend() -> None:
    with pytest.raises(ValueError, match=r"backend='inproces': must be one of auto, native.*did you mean 'inprocess'"):
        make_vec("CartPole-v1", backend="inproces")


def test_unknown_id() -> None:
    with pytest.raises(ValueError, match="unknown environment, did you mean 'HalfCheetah-v5'"):
        make_vec("HalfCheeta-v5")


@pytest.mark.parametrize(
    ("env_id", "backend", "options", "message"),
    [
        ("Pendulum-v1", "native", {}, "has no Pendulum-v1.*backends that do: inprocess"),
        ("CartPole-v1", "native", {"frame_stack": 2}, "stacked frames; backends that do: inprocess.* dummy, subproc"),
        ("CartPole-v1", "ale", {}, "has no CartPole-v1; backends that do: native, inprocess"),
        ("ALE/Pong-v5", "native", {}, "has no ALE/Pong-v5.*backends that do: inprocess, ale"),
    ],
)
def test_a_backend_that_lacks_something_names_those_that_have_it(
    env_id: str, backend: str, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec(env_id, backend=backend, **options)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(ImportError, match=r"pip install 'mirrorzoo\[envpool\]'"):
        make_vec("CartPole-v1", backend="envpool")


@pytest.mark.parametrize("name", ["reward_noise", "observation_noise", "sticky_actions", "random_action"])
def test_negative_noise(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=-0.1: must be"):
        make_vec("CartPole-v1", **{name: -0.1})
