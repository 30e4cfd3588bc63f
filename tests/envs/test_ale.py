"""The backend "ale": the same transitions as Gymnasium's AtariPreprocessing, none of them made up by a late reset."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from envs import make_vec
from envs.backends.ale import AleVecEnv
from envs.backends.inprocess import InProcessVecEnv

from .comparison import assert_same_steps

# numbers of no-ops are drawn by different generators
NO_NOOPS: dict[str, Any] = {"noop_max": 0}
# half of all seeds give the emulators the same sticky actions, these among them
SAME_EMULATOR_SEED = 1


def both(env_id: str, n: int = 1, atari: dict[str, Any] | None = None, **kwargs: Any) -> tuple[VecEnv, VecEnv]:
    """By "ale" and by wrappers around single games."""
    atari = NO_NOOPS | (atari or {})
    ours, reference = (
        make_vec(env_id, n, SAME_EMULATOR_SEED, name, atari=atari, **kwargs) for name in ("ale", "inprocess")
    )
    assert isinstance(ours, AleVecEnv) and isinstance(reference, InProcessVecEnv)
    return ours, reference


@pytest.mark.parametrize(("n", "steps"), [(1, 1000), pytest.param(2, 5000, marks=pytest.mark.slow)])
def test_pong(n: int, steps: int) -> None:
    counts = assert_same_steps(*both("PongNoFrameskip-v4", n), steps)
    assert counts["games"] == counts["terminated"] >= n


@pytest.mark.parametrize("training", [True, False])
def test_lives_clipping_and_sticky_actions(training: bool) -> None:
    counts = assert_same_steps(*both("ALE/Qbert-v5", training=training), 500)
    assert counts["games"] >= 1
    assert counts["terminated"] == counts["games"] if not training else counts["terminated"] > 3 * counts["games"]


def test_breakout_with_a_time_limit_and_other_frames() -> None:
    atari = {"frame_stack": 3, "screen_size": 64, "full_action_space": True, "frame_skip": 3}
    counts = assert_same_steps(*both("BreakoutNoFrameskip-v4", 2, atari, max_episode_steps=90), 300)
    assert counts["truncated"] > 0
    assert counts["terminated"] > counts["games"] - counts["truncated"]  # lives


class LateReset(AleVecEnv):
    """The misuse: next-step resets taken for same-step ones."""

    def _restart(self, rows: np.ndarray, observations: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return observations, {"lives": self._info["lives"][rows]}


def test_the_comparison_notices_late_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs: dict[str, Any] = {"training": False, "max_episode_steps": 250}
    assert assert_same_steps(*both("BreakoutNoFrameskip-v4", **kwargs), 260)["games"] > 0
    monkeypatch.setattr("envs.backends.choice.AleVecEnv", LateReset)
    with pytest.raises(AssertionError, match="observations"):
        assert_same_steps(*both("BreakoutNoFrameskip-v4", **kwargs), 260)


def test_every_row_is_four_frames_of_a_game() -> None:
    """A dummy row of a late reset would advance no frame; here the frame counter says so itself."""
    venv = make_vec("BreakoutNoFrameskip-v4", 2, 0, "ale", training=False)
    venv.reset()
    frames = np.array([info["episode_frame_number"] for info in venv.reset_infos])
    rng, games = np.random.default_rng(0), 0
    for _ in range(500):
        _, _, dones, infos = venv.step(rng.integers(0, 4, 2))
        now = np.array([info["episode_frame_number"] for info in infos])
        assert (now[~dones] == frames[~dones] + 4).all()
        assert ((now > frames) & (now <= frames + 4)).all()
        games += dones.sum()
        restarted = np.array([info["episode_frame_number"] for info in venv.reset_infos])
        frames = np.where(dones, restarted, now)
    assert games >= 2


def first_frames(seed: int | None) -> np.ndarray:
    """The first observations, and those after 20 steps of sticky actions, of two games [2, 2, ...]."""
    venv = make_vec("ALE/Breakout-v5", 2, seed, "ale")
    first = venv.reset()
    for step in range(20):
        last = venv.step_arrays(np.full(2, 2 + step % 2)).observations
    return np.array([first, last])


def test_seeds() -> None:
    four = first_frames(4)
    np.testing.assert_array_equal(four, first_frames(4))
    np.testing.assert_array_equal(four[:, 1], first_frames(5)[:, 0])  # environment i has seed + i
    assert not np.array_equal(four[1, 0], four[1, 1])


def test_without_a_seed_games_differ() -> None:
    first = first_frames(None)
    tries = (first_frames(None) for _ in range(8))  # any two games may have drawn the same number of no-ops
    assert any(not np.array_equal(first, again) and not np.array_equal(again[1, 0], again[1, 1]) for again in tries)


def test_the_number_of_no_ops_varies() -> None:
    venv = make_vec("ALE/Pong-v5", 2, 0, "ale")
    noops = []
    for _ in range(20):
        venv.reset()
        noops += [int(info["episode_frame_number"]) for info in venv.reset_infos]
    assert 0 <= min(noops) < 6 and 24 < max(noops) <= 29


def test_arrays_belong_to_the_caller() -> None:
    venv = make_vec("BreakoutNoFrameskip-v4", 2, 0, "ale", reward_noise=0.1, max_episode_steps=7)
    venv.reset()
    steps, copies = [], []
    for _ in range(20):
        steps.append(venv.step_arrays(np.array([1, 2])))
        copies.append([np.array(array) for array in steps[-1]])
    for step, copy in zip(steps, copies, strict=True):
        for array, kept in zip(step, copy, strict=True):
            np.testing.assert_array_equal(array, kept)


def test_step_is_the_array_step_in_sb3s_terms(tmp_path: Path) -> None:
    kwargs: dict[str, Any] = {"backend": "ale", "max_episode_steps": 60}
    by_arrays = make_vec("BreakoutNoFrameskip-v4", 2, 0, **kwargs)
    by_step = make_vec("BreakoutNoFrameskip-v4", 2, 0, monitor_dir=tmp_path, **kwargs)
    np.testing.assert_array_equal(by_arrays.reset(), by_step.reset())
    rng, records = np.random.default_rng(0), []
    for _ in range(130):
        actions = rng.integers(0, 4, 2)
        step, (observations, rewards, dones, infos) = by_arrays.step_arrays(actions), by_step.step(actions)
        np.testing.assert_array_equal(observations, step.observations)
        np.testing.assert_array_equal(rewards, step.rewards)
        np.testing.assert_array_equal(dones, step.terminated | step.truncated)
        assert [info["TimeLimit.truncated"] for info in infos] == step.truncated.tolist()
        assert ["episode" in info for info in infos] == [row in step.episode_rows for row in range(2)]
        for row in np.flatnonzero(dones):
            np.testing.assert_array_equal(infos[row]["terminal_observation"], step.final_observations[row])
        records += [(info["episode"]["r"], info["episode"]["l"]) for info in infos if "episode" in info]
        assert step.episode_returns.tolist() == [r for r, _ in records[len(records) - len(step.episode_rows) :]]
    by_step.close()
    rows = []
    for index in range(2):
        with (tmp_path / f"{index}.monitor.csv").open() as file:
            file.readline()
            rows += [(float(row["r"]), int(row["l"])) for row in csv.DictReader(file)]
    assert sorted(rows) == sorted(records)
    assert len(rows) >= 4


def test_sb3s_vec_env_interface() -> None:
    venv = make_vec("ALE/Pong-v5", 2, 0, "ale")
    assert venv.env_is_wrapped(Monitor) == [True, True]
    assert venv.env_is_wrapped(gymnasium.wrappers.ClipReward) == [False, False]
    assert venv.get_attr("num_envs", 1) == [2]
    venv.set_attr("marker", 3)
    assert venv.get_attr("marker") == [3, 3]
    with pytest.raises(ValueError, match="use backend='inprocess'"):
        venv.set_attr("marker", 4, 1)
    assert venv.seed(5) == [5, 6]
    venv.set_options({"difficulty": 1})
    with pytest.raises(ValueError, match=r"reset options .*difficulty"):
        venv.reset()


def test_an_action_that_does_not_exist() -> None:
    """The engine itself would wait forever."""
    venv = make_vec("ALE/Pong-v5", 2, 0, "ale")
    venv.reset()
    for actions in ([0, 6], [-1, 0]):
        with pytest.raises(ValueError, match=r"must lie in \[0, 6\)"):
            venv.step_arrays(np.array(actions))


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("CartPole-v1", {}, "no CartPole-v1; backends that do: native, inprocess, "),
        ("ALE/Pong-v5", {"render_mode": "rgb_array"}, "no render_mode 'rgb_array'; backends that do: inprocess, dummy"),
        ("ALE/Pong-v5", {"atari": {"fire_reset": True}}, "no fire_reset; backends that do: inprocess, dummy"),
        ("ALE/Pong-v5", {"env_kwargs": {"mode": 1}}, r"no env_kwargs \['mode'\]; backends that do: inprocess, dummy"),
        ("ALE/Pong-v5", {"exact": True}, "no exact state; backends that do: inprocess, dummy"),
    ],
)
def test_what_it_lacks(env_id: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec(env_id, backend="ale", **kwargs)
    if env_id != "CartPole-v1":
        assert isinstance(make_vec(env_id, **kwargs), InProcessVecEnv)


def test_auto_takes_it_for_atari() -> None:
    assert isinstance(make_vec("ALE/Pong-v5"), AleVecEnv)


def test_threads_change_nothing() -> None:
    one, four = (make_vec("BreakoutNoFrameskip-v4", 4, 0, "ale", num_threads=n) for n in (1, 4))
    assert one.reset().tobytes() == four.reset().tobytes()
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(300):
        actions = rng.integers(4, size=4)
        steps = [venv.step_arrays(actions) for venv in (one, four)]  # type: ignore[attr-defined]
        for ours, theirs in zip(*steps, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        ended += steps[0].terminated.sum()
    assert ended > 4
    one.close(), four.close()
