"""The safe format: exact round trips, nothing executed, every damage refused."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from agents import PPO, SPMA
from agents.training.checkpoint import CheckpointError, read_header
from agents.training.safe_zip import read
from agents.training.spaces_json import space_from_json, space_to_json

SMALL: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def trained() -> SPMA:
    kwargs = {"head": "tsallis:0.5", "activation_fn": nn.ReLU, "net_arch": {"pi": [16], "vf": [8, 8]}}
    model = SPMA("MlpPolicy", "CartPole-v1", learning_rate="lin_1e-3", eta="lin_0.3", policy_kwargs=kwargs, **SMALL)
    return model.learn(192)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def saved(trained: SPMA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "model.zip"
    trained.save(path)
    return path


def test_the_update_after_loading_is_that_without(tmp_path: Path) -> None:
    """Kernels lie with their channels last, in memory and not in the file: so must Adam's moments."""
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=4, channel_first=True)
    model = PPO("CnnPolicy", env, **SMALL).learn(64)
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", env=env, device="cpu")
    loaded.rollout_buffer = model.rollout_buffer
    for again in (model, loaded):
        np.random.seed(0)
        again._total_timesteps = 128
        again.set_logger(configure(None, []))
        again.train()
    for (name, p), q in zip(model.policy.named_parameters(), loaded.policy.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_round_trip_restores_everything(trained: SPMA, saved: Path) -> None:
    loaded = SPMA.load(saved, env=gym.make("CartPole-v1"), device="cpu")
    for name in SPMA.argument_names():
        if name not in ("policy", "env", "device", "use_sde", "tensorboard_log"):
            assert getattr(loaded, name) == getattr(trained, name), name
    for name, tensor in trained.policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], tensor)
    ours, theirs = loaded.policy.optimizer.state_dict(), trained.policy.optimizer.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    for index, entries in theirs["state"].items():
        assert all(torch.equal(ours["state"][index][key], value) for key, value in entries.items())
    assert (loaded.num_timesteps, loaded._n_updates) == (192, 3)
    obs = np.zeros((1, 4), np.float32)
    assert loaded.predict(obs, deterministic=True)[0] == trained.predict(obs, deterministic=True)[0]
    loaded.learn(64, reset_num_timesteps=False)
    assert loaded.num_timesteps == 256


def test_suffix_and_file_objects(trained: SPMA, tmp_path: Path) -> None:
    trained.save(tmp_path / "best_model")
    assert [p.name for p in tmp_path.iterdir()] == ["best_model.zip"]
    assert SPMA.load(tmp_path / "best_model").num_timesteps == 192
    buffer = io.BytesIO()
    trained.save(buffer)
    buffer.seek(0)
    assert SPMA.load(buffer).num_timesteps == 192
    fresh = SPMA("MlpPolicy", "CartPole-v1", policy_kwargs=trained.policy_kwargs, **SMALL)
    fresh.set_parameters(tmp_path / "best_model")
    assert torch.equal(fresh.policy.action_net.weight, trained.policy.action_net.weight)


def test_saving_twice_writes_the_same_bytes(trained: SPMA, tmp_path: Path) -> None:
    trained.save(tmp_path / "a.zip")
    trained.save(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_normaliser_statistics_travel_with_the_model(tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=0), gamma=0.9)
    model = PPO("MlpPolicy", env, **SMALL)
    model.learn(256)
    model.save(tmp_path / "model")

    bare = make_vec_env("Pendulum-v1", n_envs=2, seed=1)
    wrapped = PPO.load(tmp_path / "model", env=bare).get_vec_normalize_env()
    given_one = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=1), gamma=0.9)
    filled = PPO.load(tmp_path / "model", env=given_one).get_vec_normalize_env()
    assert filled is given_one
    without_env = PPO.load(tmp_path / "model")
    without_env.save(tmp_path / "again")
    without_env.set_env(make_vec_env("Pendulum-v1", n_envs=2, seed=1))
    again = PPO.load(tmp_path / "again", env=make_vec_env("Pendulum-v1", n_envs=2)).get_vec_normalize_env()
    for found in (wrapped, filled, without_env.get_vec_normalize_env(), again):
        assert found is not None
        for ours, theirs in ((found.obs_rms, env.obs_rms), (found.ret_rms, env.ret_rms)):
            np.testing.assert_array_equal(ours.mean, theirs.mean)
            np.testing.assert_array_equal(ours.var, theirs.var)
            assert ours.count == theirs.count
        assert found.gamma == 0.9


def test_a_users_own_class_is_stored_by_name_only(tmp_path: Path) -> None:
    class Doubling(nn.Tanh):
        pass

    model = PPO(
        "MlpPolicy", "CartPole-v1", learning_rate=lambda _: 1e-3, policy_kwargs={"activation_fn": Doubling}, **SMALL
    )
    model.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"learning_rate.*custom_objects"):
        PPO.load(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"activation_fn was '.*Doubling'"):
        PPO.load(tmp_path / "model", custom_objects={"learning_rate": 1e-3})
    loaded = PPO.load(tmp_path / "model", custom_objects={"learning_rate": 1e-3, "activation_fn": Doubling})
    assert isinstance(loaded.policy.mlp_extractor.policy_net[1], Doubling)


def test_load_refuses_what_does_not_fit(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="checkpoint of SPMA, not of PPO"):
        PPO.load(saved)
    with pytest.raises(CheckpointError, match="observation space"):
        SPMA.load(saved, env=gym.make("Acrobot-v1"))
    with pytest.raises(TypeError, match=r"learning_rat.*did you mean 'learning_rate'"):
        SPMA.load(saved, learning_rat=1)
    with pytest.raises(FileNotFoundError):
        SPMA.load(tmp_path / "nothing")
    assert SPMA.load(saved, gamma=0.5).gamma == 0.5


def test_a_model_loads_into_a_smaller_environment_but_does_not_learn_there(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", n_envs=4), n_steps=32, batch_size=128, device="cpu")
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=make_vec_env("CartPole-v1", n_envs=1))
    assert loaded.predict(np.zeros(4, np.float32))[0] in (0, 1)
    with pytest.raises(ValueError, match="batch_size=128 is larger than the rollout"):
        loaded.learn(32)


def test_foreign_files(tmp_path: Path) -> None:
    theirs = tmp_path / "sb3.zip"
    sb3.PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8).save(theirs)
    (tmp_path / "text.zip").write_text("<html>not found</html>")
    (tmp_path / "empty.zip").touch()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    for name, message in {
        "sb3": "Stable-Baselines3",
        "text": "not a checkpoint",
        "empty": "not a",
        "other": "missing",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            PPO.load(tmp_path / f"{name}.zip")


class _Payload:
    """Unpickling this leaves a mark."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_a_pickled_payload_is_never_executed(saved: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    for part in ("header.json", "header.sha256", "tensors.safetensors", "data"):
        hostile = tmp_path / "hostile.zip"
        with zipfile.ZipFile(saved) as good, zipfile.ZipFile(hostile, "w") as bad:
            for name in {*good.namelist(), part}:
                bad.writestr(name, pickle.dumps(_Payload(marker)) if name == part else good.read(name))
        if part == "data":
            SPMA.load(hostile)
        else:
            with pytest.raises(CheckpointError):
                SPMA.load(hostile)
    assert not marker.exists()


def test_every_damage_is_refused(saved: Path, tmp_path: Path) -> None:
    good, expected = saved.read_bytes(), read(saved)
    generator = random.Random(0)
    target = tmp_path / "damaged.zip"
    for _ in range(150):
        cut, position = generator.randrange(len(good)), generator.randrange(len(good))
        flipped = bytearray(good)
        flipped[position] ^= 1 << generator.randrange(8)
        zeroed = good[:position] + bytes(min(512, len(good) - position)) + good[position + 512 :]
        for damaged in (good[:cut], bytes(flipped), zeroed):
            target.write_bytes(damaged)
            try:
                header, tensors = read(target)
            except CheckpointError:
                continue
            # What still loads was damaged outside the content (zip bookkeeping such as dates), not in it.
            assert header == expected[0]
            assert all(np.array_equal(tensors[name], array) for name, array in expected[1].items())


def test_non_finite_parameters_are_neither_saved_nor_loaded(trained: SPMA, saved: Path, tmp_path: Path) -> None:
    model = SPMA.load(saved)
    with torch.no_grad():
        model.policy.action_net.bias[0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"policy/action_net\.bias"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_failing_save_leaves_the_old_file(
    trained: SPMA, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model.zip"
    trained.save(target)
    before = target.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        trained.save(target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.zip"]


def test_header_names_what_the_model_is(saved: Path) -> None:
    header = read_header(saved)
    assert header["algorithm"] == "SPMA"
    assert header["arguments"]["eta"] == "lin_0.3"
    assert header["arguments"]["policy_kwargs"]["activation_fn"] == {"$class": "ReLU"}
    assert space_from_json(header["action_space"]) == spaces.Discrete(2)


_BOXES = st.builds(
    lambda shape, low, width, dtype: spaces.Box(low, low + width, tuple(shape), dtype),
    st.lists(st.integers(1, 3), max_size=3),
    st.integers(0, 5),
    st.integers(1, 5),
    st.sampled_from([np.float32, np.float64, np.uint8]),
)
_SIMPLE = st.one_of(
    _BOXES,
    st.just(spaces.Box(-np.inf, np.inf, (2,))),
    st.just(spaces.Box(np.array([-1.0, -np.inf]), np.array([1.0, 2.5]), dtype=np.float64)),
    st.builds(spaces.Discrete, st.integers(1, 9)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 5), min_size=1, max_size=4)),
    st.builds(spaces.MultiBinary, st.integers(1, 5)),
)


@given(st.one_of(_SIMPLE, st.dictionaries(st.text("abc", min_size=1), _SIMPLE, min_size=1).map(spaces.Dict)))
def test_spaces_round_trip(space: spaces.Space) -> None:
    assert space_from_json(space_to_json(space)) == space


def test_evaluation_uses_the_saved_statistics(tmp_path: Path) -> None:
    """A policy evaluated through `load(path, env=...)` acts on normalised observations, not on raw ones."""
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=0))
    model = PPO("MlpPolicy", env, **SMALL)
    model.learn(256)
    model.save(tmp_path / "model")
    scores = []
    for loaded_env in (
        make_vec_env("Pendulum-v1", n_envs=1, seed=5),
        VecNormalize(make_vec_env("Pendulum-v1", n_envs=1, seed=5)),
    ):
        loaded = PPO.load(tmp_path / "model", env=loaded_env)
        normalizer = loaded.get_vec_normalize_env()
        assert normalizer is not None
        normalizer.training, normalizer.norm_reward = False, False
        scores.append(evaluate_policy(loaded, normalizer, n_eval_episodes=2)[0])
    assert scores[0] == scores[1]


def test_a_folder_is_made_for_it(tmp_path: Path) -> None:
    PPO("MlpPolicy", "CartPole-v1").save(tmp_path / "new" / "folder" / "model")
    assert (tmp_path / "new" / "folder" / "model.zip").is_file()
