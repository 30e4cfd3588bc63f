"""Ids: found, refused with the closest match, or with what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import envs
from envs import check_env_kwargs, list_ids, make_vec, register_envs, resolve_id
from envs.registration import OUR_IDS

ROOT = Path(envs.__file__).parents[1]


def test_importing_envs_is_light_and_registers_our_ids() -> None:
    code = (
        "import sys, envs, gymnasium\n"
        "heavy = {'torch', 'stable_baselines3', 'ale_py', 'mujoco'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "assert set(envs.registration.OUR_IDS) <= gymnasium.registry.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_all_public_names_exist() -> None:
    assert all(getattr(envs, name) is not None for name in dir(envs))
    with pytest.raises(AttributeError, match="no attribute 'make_vecs'"):
        _ = envs.make_vecs


def test_registering_again_changes_nothing() -> None:
    before = {env_id: gymnasium.registry[env_id] for env_id in OUR_IDS}
    register_envs()
    assert all(gymnasium.registry[env_id] is spec for env_id, spec in before.items())


@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "NoisyCartPole-v1", "HalfCheetah-v5", "ALE/Pong-v5", "PongNoFrameskip-v4"]
)
def test_good_ids(env_id: str) -> None:
    assert resolve_id(env_id).id == env_id
    assert env_id in list_ids()


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("CartPol-v1", "unknown environment, did you mean 'CartPole-v1'"),
        ("NoisyCartPole-v2", "did you mean 'NoisyCartPole-v1'"),
        ("CartPole", "did you mean 'CartPole-v1'"),
        ("PongNoFrameskp-v4", "did you mean 'PongNoFrameskip-v4'"),
        ("CartPole-v0", "out of date, use 'CartPole-v1'"),
        ("PongNoFrameskip-v0", "out of date, use 'PongNoFrameskip-v4'"),
        ("HalfCheetah-v2", "out of date, use 'HalfCheetah-v5'"),
        ("../../x", "not an environment id"),
        ("os:CartPole-v1", "not an environment id"),
        ("CartPole-v1\n", "not an environment id"),
        ("", "not an environment id"),
        (None, "not an environment id"),
    ],
)
def test_bad_ids(env_id: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_id(env_id)


def test_deprecated_ids_on_request() -> None:
    assert resolve_id("CartPole-v0", allow_deprecated=True).id == "CartPole-v0"


def test_listed_ids_are_up_to_date() -> None:
    assert not {"CartPole-v0", "HalfCheetah-v4", "Pong-v4", "GymV21Environment-v0"} & set(list_ids())


def test_mujoco_v4_warns() -> None:
    with pytest.warns(UserWarning, match="HalfCheetah-v4 is out of date: HalfCheetah-v5"):
        assert resolve_id("HalfCheetah-v4").id == "HalfCheetah-v4"


@pytest.mark.parametrize(("package", "env_id"), [("mujoco", "HalfCheetah-v5"), ("ale_py", "ALE/Pong-v5")])
def test_missing_package_says_what_to_install(package: str, env_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"needs the package {package}: pip install"):
        resolve_id(env_id)


def test_missing_ale_before_its_ids_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", {})
    monkeypatch.setattr(gymnasium, "registry", {"CartPole-v1": gymnasium.registry["CartPole-v1"]})
    with pytest.raises(ImportError, match="pip install ale-py"):
        resolve_id("PongNoFrameskip-v4")


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("CartPole-v1", {"sutton_barto": True}, "no parameter 'sutton_barto', did you mean 'sutton_barto_reward'"),
        ("CartPole-v1", {"x": 1}, r"its parameters: render_mode, sutton_barto_reward\)"),
        ("HalfCheetah-v5", {"ctrl_cost": 1}, "did you mean 'ctrl_cost_weight'"),
        ("NoisyCartPole-v1", {"reward_nois": 1}, "did you mean 'reward_noise'"),
    ],
)
def test_unknown_env_kwargs(env_id: str, kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_env_kwargs(env_id, kwargs)


def test_known_env_kwargs() -> None:
    check_env_kwargs("CartPole-v1", None)
    check_env_kwargs("CartPole-v1", {"sutton_barto_reward": True})
    check_env_kwargs("HalfCheetah-v5", {"ctrl_cost_weight": 0.2, "width": 64})  # the second belongs to the base class
    check_env_kwargs("ALE/Pong-v5", {"difficulty": 0})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_envs": 0}, "n_envs=0: must be an integer >= 1"),
        ({"n_envs": 1.5}, "n_envs=1.5"),
        ({"n_envs": True}, "n_envs=True"),
        ({"seed": -5}, "seed=-5: must be an integer >= 0"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"seed": "abc"}, "seed='abc'"),
        ({"reward_noise": -0.1}, "reward_noise=-0.1: must be a number >= 0"),
        ({"reward_noise": float("nan")}, "reward_noise=nan"),
        ({"observation_noise": float("inf")}, "observation_noise=inf"),
        ({"sticky_actions": 1.0}, "sticky_actions=1.0: must be a number >= 0 and < 1"),
        ({"frame_stack": 0}, "frame_stack=0"),
        ({"max_episode_steps": 0}, "max_episode_steps=0"),
        ({"backend": "nativ"}, "did you mean 'native'"),
        ({"normalize": {"norm_ob": True}}, "normalize: unknown key 'norm_ob', did you mean 'norm_obs'"),
        ({"normalize": {"gamma": 1.5}}, "normalize gamma=1.5"),
        ({"normalize": {"clip_obs": 0.0}}, "normalize clip_obs=0.0: must be > 0"),
        ({"normalize": "yes"}, "normalize='yes'"),
        ({"atari": {"noop_max": 0}}, "not an Atari game"),
        ({"env_kwargs": {"gravity": 1}}, "no parameter 'gravity'"),
        ({"backend": "native", "frame_stack": 2}, "native' has no CartPole-v1 with stacked frames"),
    ],
)
def test_make_vec_refuses(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec("CartPole-v1", **kwargs)  # type: ignore[arg-type]


def test_native_says_what_it_has_and_what_else_there_is() -> None:
    with pytest.raises(
        ValueError,
        match=r"no HalfCheetah-v5, only CartPole-v1, NoisyCartPole-v1; backends that do: inprocess, .*dummy, subproc",
    ):
        make_vec("HalfCheetah-v5", backend="native")


def test_mujoco_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_vec("HalfCheetah-v5", 2)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
