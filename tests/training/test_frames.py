"""Frames of a rollout, kept once, stand for the stacks that were put there."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

import envs
from agents import PPO
from agents.training.frames import FrameStacks
from agents.training.rollouts import RolloutBuffer

CPU = torch.device("cpu")


def images(channels: int, height: int, width: int) -> spaces.Box:
    return spaces.Box(0, 255, (channels, height, width), np.uint8)


def video(rng: np.random.Generator, ends: np.ndarray, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Stacks [T, N, C, H, W] that slide, and begin anew with copies of one frame at the `ends` [T, N]."""
    stacks = np.zeros((*ends.shape, channels, *size), np.uint8)
    for t, n in np.ndindex(ends.shape):
        frame = rng.integers(0, 256, size, np.uint8)
        begins = t == 0 or ends[t, n]
        stacks[t, n] = frame if begins else np.concatenate((stacks[t - 1, n, 1:], frame[None]))
    return stacks


def filled(stacks: np.ndarray, frames: FrameStacks) -> FrameStacks:
    for t, step in enumerate(stacks):
        np.testing.assert_array_equal(frames.put(t, step), step)
    return frames


def made_for(stacks: np.ndarray) -> FrameStacks:
    n_steps, n_envs, *shape = stacks.shape
    return FrameStacks(n_steps, n_envs, images(*shape), CPU)


@given(
    ends=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=9),
    channels=st.integers(1, 5),
    seed=st.integers(0, 10**6),
)
def test_stacks_are_what_was_put_there(ends: list[list[bool]], channels: int, seed: int) -> None:
    stacks = video(np.random.default_rng(seed), np.array(ends), channels, (4, 3))
    frames = filled(stacks, made_for(stacks))
    assert frames.shape == stacks.shape
    np.testing.assert_array_equal(np.asarray(frames), stacks)
    for key in (-1, slice(0, 2), (0, 1), (..., -1), (slice(None), 1, 0, 2), stacks > 100, [0, 0]):
        np.testing.assert_array_equal(frames[key], stacks[key])
    assert len(frames) == len(stacks)
    with pytest.raises(ValueError, match="copy=False"):
        np.array(frames, copy=False)
    rows = torch.randperm(stacks.shape[0] * stacks.shape[1])[:7]
    taken = frames.column().take(rows)
    np.testing.assert_array_equal(taken, stacks.reshape(-1, *stacks.shape[2:])[rows])
    assert taken.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
@pytest.mark.parametrize("channels", [3, 4])
def test_compiled_code_puts_the_same_stacks_together(channels: int) -> None:
    from agents.training.engine.numba_frames import interleave

    stacks = video(np.random.default_rng(0), np.random.default_rng(1).random((9, 2)) < 0.2, channels, (5, 7))
    frames, rows = filled(stacks, made_for(stacks)), torch.randperm(18)[:7]
    plain, compiled = frames.column().take(rows), frames.column(interleave).take(rows)
    np.testing.assert_array_equal(compiled, plain)
    assert compiled.is_contiguous(memory_format=torch.channels_last)


def test_a_frame_is_kept_once() -> None:
    ends = np.zeros((10, 2), bool)
    ends[6, 1] = True
    stacks = video(np.random.default_rng(0), ends, 4, (8, 8))
    frames = filled(stacks, made_for(stacks))
    assert frames.n_frames == (10 + 3) + (10 + 3 + 3)  # the first stacks whole, and the one that begins an episode
    assert len(frames.column().frames) == frames.n_frames
    filled(stacks[:3], frames)
    assert frames.n_frames == 2 * (3 + 3)  # the next rollout starts over


def test_zeros_are_there_before_anything_else() -> None:
    frames = FrameStacks(2, 3, images(4, 5, 5), CPU)
    assert not frames.column().take(torch.arange(6)).any() and not np.asarray(frames).any()


def test_a_step_may_be_put_again() -> None:
    stacks = video(np.random.default_rng(0), np.zeros((3, 2), bool), 3, (4, 4))
    frames = filled(stacks[:2], made_for(stacks))
    slid = np.concatenate((stacks[1, :, 1:], stacks[2, :, -1:]), axis=1)
    frames.put(1, slid)
    np.testing.assert_array_equal(np.asarray(frames)[:2], [stacks[0], slid])


def test_images_that_do_not_slide_are_kept_whole() -> None:
    stacks = np.random.default_rng(0).integers(0, 256, (5, 2, 3, 6, 6), np.uint8)
    frames = filled(stacks, made_for(stacks))
    assert frames.n_frames == stacks.shape[0] * stacks.shape[1] * 3 == len(frames.frames)
    np.testing.assert_array_equal(np.asarray(frames), stacks)


def test_what_comes_in_an_array_that_is_used_again_is_kept() -> None:
    stacks = video(np.random.default_rng(0), np.zeros((6, 2), bool), 3, (4, 4))
    frames, array = made_for(stacks), np.empty_like(stacks[0])
    for t, step in enumerate(stacks):
        array[:] = step
        frames.put(t, array)
    np.testing.assert_array_equal(np.asarray(frames), stacks)


def test_images_in_a_dictionary() -> None:
    space = spaces.Dict(
        {"image": images(2, 32, 32), "small": images(2, 4, 4), "place": spaces.Box(-1, 1, (2,), np.float32)}
    )
    buffer = RolloutBuffer(3, 2, space, spaces.Discrete(2), 2, CPU)
    stacks = video(np.random.default_rng(0), np.zeros((3, 2), bool), 2, (32, 32))
    for step in stacks:
        observed = buffer.observe({"image": step, "small": step[..., :4, :4], "place": np.ones((2, 2), np.float32)})
        assert isinstance(observed, dict)
        np.testing.assert_array_equal(observed["image"], step)
        buffer.pos += 1
    batch = next(buffer.get(shuffle=False))
    assert isinstance(batch.observations, dict)
    np.testing.assert_array_equal(batch.observations["image"], stacks.reshape(6, 2, 32, 32))
    np.testing.assert_array_equal(batch.observations["small"], stacks.reshape(6, 2, 32, 32)[..., :4, :4])
    assert (batch.observations["place"] == 1).all()


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "ALE/Breakout-v5"])
def test_atari_adds_a_frame_a_step(env_id: str) -> None:
    model = PPO("CnnPolicy", envs.make_vec(env_id, 2, seed=0), n_steps=40, batch_size=40, n_epochs=1, seed=0)
    kept: Any = model.rollout_buffer.observations
    model.learn(80)
    assert kept.n_frames == 2 * (40 + 3)


def test_a_rollout_of_atari_is_what_the_environment_showed() -> None:
    def play(env: Any) -> np.ndarray:
        seen = [env.reset()]
        seen += [env.step_arrays(np.full(2, action)).observations.copy() for action in (np.arange(60) % 6)]
        return np.array(seen)

    stacks = play(envs.make_vec("ALE/Pong-v5", 2, seed=0, max_episode_steps=25))
    frames = filled(stacks, made_for(stacks))
    np.testing.assert_array_equal(np.asarray(frames), stacks)
    assert frames.n_frames == 2 * (61 + 3 * 3)  # the first, and two episodes that begin on the way
