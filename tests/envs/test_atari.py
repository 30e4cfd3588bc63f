"""Atari: 4 frames a step whatever the id, what training sees, and what is reported."""

from __future__ import annotations

from typing import Any

import cv2
import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import WarpFrame
from stable_baselines3.common.vec_env import VecEnv

from envs import make_vec, protocol, resolve_id

IDS = ("ALE/Pong-v5", "PongNoFrameskip-v4")


def play(venv: VecEnv, steps: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Random play: rewards [T], dones [T], reported returns."""
    venv.reset()
    rng, rewards, dones, returns = np.random.default_rng(0), [], [], []
    for _ in range(steps):
        step = venv.step_arrays(rng.integers(0, venv.action_space.n, 1))  # type: ignore[attr-defined]
        rewards.append(step.rewards[0])
        dones.append(step.terminated[0] or step.truncated[0])
        returns += step.episode_returns.tolist()
    return np.array(rewards), np.array(dones), returns


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(("backend", "noops"), [("inprocess", range(1, 31)), ("ale", range(30))])
def test_four_frames_a_step(env_id: str, backend: str, noops: range) -> None:
    venv = make_vec(env_id, 2, 0, backend)
    assert venv.observation_space.shape == (4, 84, 84)
    assert venv.reset().dtype == np.uint8  # type: ignore[union-attr]
    start = [info["episode_frame_number"] for info in venv.reset_infos]
    for _ in range(10):
        _, _, _, infos = venv.step(np.array([2, 3]))
    assert [info["episode_frame_number"] for info in infos] == [frame + 40 for frame in start]
    assert all(frame in noops for frame in start)


def test_protocols() -> None:
    v5, v4 = (protocol(env_id) for env_id in IDS)
    assert v5 == {
        "frame_skip": 4,
        "sticky": 0.25,
        "noop_max": 30,
        "life_loss": True,
        "clip_reward": True,
        "full_action_space": False,
        "fire_reset": False,
        "screen_size": 84,
        "frame_stack": 4,
        "max_episode_steps": 27_000,
    }
    assert v4 == v5 | {"sticky": 0.0}
    assert protocol(IDS[0], training=False) == v5 | {"life_loss": False, "clip_reward": False}
    assert protocol(IDS[1], sticky_actions=0.1, frame_stack=2, atari={"noop_max": 0}) == v4 | {
        "sticky": 0.1,
        "frame_stack": 2,
        "noop_max": 0,
    }
    assert protocol(IDS[0], atari={"frame_skip": 2}) == v5 | {"frame_skip": 2, "max_episode_steps": 54_000}
    assert protocol(IDS[0], max_episode_steps=50_000)["max_episode_steps"] == 50_000
    assert protocol("CartPole-v1") == {}


@pytest.mark.parametrize("env_id", IDS)
def test_the_emulator_gets_the_protocol(env_id: str) -> None:
    for arguments in ({}, {"sticky_actions": 0.5}):
        ale = make_vec(env_id, 1, 0, "inprocess", **arguments).get_attr("ale")[0]  # type: ignore[arg-type]
        assert ale.getFloat("repeat_action_probability") == protocol(env_id, **arguments)["sticky"]  # type: ignore[arg-type]
    assert make_vec(env_id, atari={"full_action_space": True}).action_space.n == 18  # type: ignore[attr-defined]


def test_training_sees_lives_and_signs_evaluation_whole_games() -> None:
    rewards, dones, returns = play(make_vec("QbertNoFrameskip-v4", 1, 0), 700)
    assert set(np.unique(rewards)) <= {-1.0, 0.0, 1.0}
    assert dones.sum() > 2 * len(returns) > 0  # a game has four lives
    full_rewards, full_dones, full_returns = play(make_vec("QbertNoFrameskip-v4", 1, 0, training=False), 700)
    assert full_rewards.max() > 1
    assert full_dones.sum() == len(full_returns) > 0
    ends = np.flatnonzero(full_dones)
    assert full_returns[0] == full_rewards[: ends[0] + 1].sum()
    assert returns[0] > rewards[dones.cumsum() < dones.sum()].sum() * 5  # unclipped: Q*bert pays 25 and more


def test_noise_lies_on_the_clipped_reward_and_not_on_the_return() -> None:
    rewards, _, returns = play(make_vec("QbertNoFrameskip-v4", 1, 0, reward_noise=0.1), 700)
    assert np.abs(rewards).max() < 1.6
    assert len(np.unique(rewards)) > 600
    assert all(value == int(value) for value in returns)


def test_a_seed_starts_a_new_game_in_the_middle_of_one() -> None:
    venv = make_vec("BreakoutNoFrameskip-v4", 1, 0, "inprocess")
    first = venv.reset()
    rng = np.random.default_rng(0)
    while not venv.step_arrays(rng.integers(0, 4, 1)).terminated[0]:  # type: ignore[attr-defined]
        pass
    assert venv.get_attr("ale")[0].lives() == 4  # the game goes on with a life less
    venv.seed(0)
    np.testing.assert_array_equal(venv.reset(), first)
    assert venv.get_attr("ale")[0].lives() == 5


@pytest.mark.parametrize("backend", ["inprocess", "ale"])
def test_a_lost_life_leaves_the_game_as_it_is(backend: str) -> None:
    venv = make_vec("BreakoutNoFrameskip-v4", 1, 0, backend)
    venv.reset()
    rng, lost, steps, game_lengths = np.random.default_rng(0), 0, 0, 0
    while not game_lengths:
        step = venv.step_arrays(rng.integers(0, 4, 1))
        steps += 1
        game_lengths += step.episode_lengths.sum()
        if step.terminated[0] and not len(step.episode_rows):
            lost += 1
            np.testing.assert_array_equal(step.observations, step.final_observations)
            assert step.observations[0, 0].any()  # older frames are kept
    assert lost == 4
    assert game_lengths == steps  # no step that the agent did not take
    assert not step.observations[0, 0].any()  # a new game has none


def test_the_time_limit_counts_steps_and_keeps_the_last_frame() -> None:
    for backend in ("inprocess", "ale"):
        venv = make_vec("PongNoFrameskip-v4", 1, 0, backend, max_episode_steps=30)
        unlimited = make_vec("PongNoFrameskip-v4", 1, 0, backend)
        venv.reset(), unlimited.reset()
        for t in range(1, 31):
            step, expected = (each.step_arrays(np.array([2 + t % 2])) for each in (venv, unlimited))
            assert step.truncated[0] == (t == 30)
        np.testing.assert_array_equal(step.final_observations, expected.observations)
    emulator = make_vec("PongNoFrameskip-v4", 1, 0, "inprocess").get_attr("ale")[0]
    assert emulator.getInt("max_num_frames_per_episode") == 0


def test_fire_reset_on_request() -> None:
    def sees_a_ball(fire_reset: bool) -> bool:
        """Whether anything shows between the bricks, the paddle and the walls of Breakout while nothing is pressed."""
        venv = make_vec("BreakoutNoFrameskip-v4", 1, 0, atari={"fire_reset": fire_reset, "noop_max": 0})
        venv.reset()
        frames = [venv.step_arrays(np.array([0])).observations[0, -1] for _ in range(10)]  # type: ignore[attr-defined]
        return bool((np.array(frames)[:, 40:70, 10:74] > 0).any())

    assert sees_a_ball(True)
    assert not sees_a_ball(False)


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("Pong-v4", {}, "its frame skip is random; use 'ALE/Pong-v5' or 'PongNoFrameskip-v4'"),
        ("ALE/Pong-v5", {"atari": {"frameskip": 4}}, "unknown key 'frameskip', did you mean 'frame_skip'"),
        ("ALE/Pong-v5", {"atari": {"frame_skip": 0}}, "atari frame_skip=0"),
        ("ALE/Pong-v5", {"atari": {"sticky": 1.0}}, "atari sticky=1.0"),
        ("ALE/Pong-v5", {"atari": {"clip_reward": 1}}, "atari clip_reward=1: must be True or False"),
        ("ALE/Pong-v5", {"env_kwargs": {"frameskip": 4}}, "'frameskip' of ALE/Pong-v5 is set by the protocol"),
        ("ALE/Pong-v5", {"observation_noise": 0.1}, "observation_noise: needs a Box of floats"),
    ],
)
def test_bad_protocols(env_id: str, kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec(env_id, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(("game", "largest", "share"), [("Breakout", 0, 0.0), ("Pong", 16, 0.005)])
def test_sb3s_frames_differ_by_the_order_of_maximum_and_greyscale(game: str, largest: int, share: float) -> None:
    resolve_id(f"{game}NoFrameskip-v4")  # registers Atari
    emulator: Any = gymnasium.make(f"{game}NoFrameskip-v4").unwrapped
    emulator.reset(seed=0)
    rng, differences = np.random.default_rng(0), []
    warp = WarpFrame(gymnasium.make(f"{game}NoFrameskip-v4"))
    for _ in range(200):
        action, colours, greys = rng.integers(emulator.action_space.n), [], []
        for _ in range(4):
            emulator.step(action)
            colours.append(emulator.ale.getScreenRGB())
            greys.append(emulator.ale.getScreenGrayscale())
        theirs = warp.observation(np.maximum(*colours[-2:]))[:, :, 0]
        ours = cv2.resize(np.maximum(*greys[-2:]), (84, 84), interpolation=cv2.INTER_AREA)
        differences.append(np.abs(theirs.astype(int) - ours))
    assert np.max(differences) == largest
    assert np.mean(np.array(differences) > 0) <= share
