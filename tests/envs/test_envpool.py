"""The backend "envpool": same-step semantics over another build of the same environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from envs import make_vec
from envs.backends.envpool import CLASSIC, EnvPoolVecEnv
from envs.backends.inprocess import InProcessVecEnv

from .comparison import assert_same_steps

pytest.importorskip("envpool", reason="optional backend, 740 MB: pip install 'mirrorzoo[envpool]' to test it too")


def cartpole_from(state: np.ndarray) -> gymnasium.Env:
    env = gymnasium.make("CartPole-v1").unwrapped
    env.reset()
    env.state = state.astype(np.float64)
    return env


def check_cartpole(venv: EnvPoolVecEnv, steps: int) -> tuple[int, int]:
    """Each row is one step of Gymnasium's CartPole from what was observed before; how many episodes ended how."""
    limit, counts = venv.max_episode_steps, np.zeros(2, int)
    before: Any = venv.reset()
    lengths = np.zeros(venv.num_envs, int)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        actions = rng.integers(0, 2, venv.num_envs)
        step = venv.step_arrays(actions)
        lengths += 1
        ended = step.terminated | step.truncated
        for row, action in enumerate(actions.tolist()):
            expected, reward, terminated, _, _ = cartpole_from(before[row]).step(action)
            last = step.final_observations[row] if ended[row] else step.observations[row]
            np.testing.assert_allclose(last, expected, rtol=1e-5, atol=1e-5)
            assert (step.rewards[row], step.terminated[row]) == (reward, terminated)
            assert step.truncated[row] == (lengths[row] == limit and not terminated)
        assert (np.abs(step.observations[ended]) <= 0.05).all()
        assert step.episode_rows.tolist() == np.flatnonzero(ended).tolist()
        assert step.episode_lengths.tolist() == step.episode_returns.tolist() == lengths[ended].tolist()
        lengths[ended] = 0
        before = step.observations
        counts += step.terminated.sum(), step.truncated.sum()
    return int(counts[0]), int(counts[1])


def pool(env_id: str, n: int = 2, seed: int | None = 0, **kwargs: Any) -> EnvPoolVecEnv:
    venv = make_vec(env_id, n, seed, "envpool", **kwargs)
    assert isinstance(venv, EnvPoolVecEnv)
    return venv


def test_cartpole() -> None:
    terminated, truncated = check_cartpole(pool("CartPole-v1", max_episode_steps=25), 300)
    assert min(terminated, truncated) > 5


class LateReset(EnvPoolVecEnv):
    """The misuse: next-step resets taken for same-step ones."""

    def _restart(self, rows: np.ndarray, observations: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return observations, {}


def test_the_check_notices_late_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.backends.choice.EnvPoolVecEnv", LateReset)
    with pytest.raises(AssertionError):
        check_cartpole(pool("CartPole-v1"), 100)


def test_falling_on_the_last_step_is_a_termination() -> None:
    """EnvPool itself says truncated."""
    lengths: list[int] = []
    for limit in (500, None):
        venv = pool("CartPole-v1", 1, max_episode_steps=limit or lengths[0])
        venv.reset()
        while not (step := venv.step_arrays(np.ones(1, int))).terminated[0]:
            assert not step.truncated[0]
        lengths.append(int(step.episode_lengths[0]))
    assert lengths[0] == lengths[1]


@pytest.mark.parametrize("env_id", [*CLASSIC, "HalfCheetah-v5", "Ant-v5"])
def test_spaces_and_first_steps(env_id: str) -> None:
    venv, reference = pool(env_id), make_vec(env_id, 2, 0, "inprocess")
    assert venv.action_space == reference.action_space
    assert venv.observation_space == reference.observation_space
    assert venv.max_episode_steps == gymnasium.spec(env_id).max_episode_steps
    observations = venv.reset()
    assert observations.dtype == reference.reset().dtype
    for _ in range(3):
        step = venv.step_arrays(np.array([venv.action_space.sample() for _ in range(2)]))
        assert venv.observation_space.contains(step.observations[0])


def test_half_cheetah_is_cut_off_with_its_last_observation() -> None:
    venv = pool("HalfCheetah-v5", max_episode_steps=40, env_kwargs={"ctrl_cost_weight": 0.0})
    before: Any = venv.reset()
    rng = np.random.default_rng(0)
    for t in range(1, 121):
        step = venv.step_arrays(rng.uniform(-1, 1, (2, 6)).astype(np.float32))
        assert step.truncated.tolist() == [t % 40 == 0] * 2
        assert not step.terminated.any()
        last = step.final_observations
        speed = np.abs(last[:, 8:]).max(axis=1)  # of a robot that has been moving; at a reset it is near 0.1
        assert (speed > 1.0).all() or t % 40 < 10
        if t % 40 == 0:
            assert (np.abs(step.observations[:, 8:]).max(axis=1) < 0.6).all()
            assert step.episode_lengths.tolist() == [40, 40]
        assert not np.array_equal(last, before)
        before = step.observations


def atari_pair(env_id: str, n: int = 1, **kwargs: Any) -> tuple[EnvPoolVecEnv, InProcessVecEnv]:
    """With one no-op in each game, as their number is drawn by different generators."""
    atari = {"noop_max": 1, "sticky": 0.0}
    reference = make_vec(env_id, n, 0, "inprocess", atari=atari, **kwargs)
    assert isinstance(reference, InProcessVecEnv)
    return pool(env_id, n, atari=atari, **kwargs), reference


def test_atari() -> None:
    """The same frames, except in the observation of the step that ends a game (made of older frames in all)."""
    counts = assert_same_steps(*atari_pair("ALE/Qbert-v5"), 400, final_of_games=False)
    assert counts["terminated"] > 3 * counts["games"] > 0
    counts = assert_same_steps(*atari_pair("BreakoutNoFrameskip-v4", 2, max_episode_steps=60, training=False), 130)
    assert counts["truncated"] > 0


def test_sticky_actions_reach_the_emulator() -> None:
    def frames(sticky: float) -> np.ndarray:
        venv = pool("PongNoFrameskip-v4", 1, 0, atari={"sticky": sticky, "noop_max": 1})
        venv.reset()
        return np.array([venv.step_arrays(np.array([2 + t % 2])).observations[0, -1] for t in range(20)])

    assert not np.array_equal(frames(0.0), frames(0.5))


def test_seeds() -> None:
    def first(seed: int | None) -> np.ndarray:
        venv = pool("CartPole-v1", 2, seed)
        return np.array([venv.reset(), venv.reset()])

    four = first(4)
    np.testing.assert_array_equal(four, first(4))
    np.testing.assert_array_equal(four[:, 1], first(5)[:, 0])  # environment i has seed + i
    assert not np.array_equal(four[0], four[1])
    assert not np.array_equal(first(None), first(None))


def test_noise_and_clean_returns() -> None:
    venv = pool("CartPole-v1", 4, reward_noise=2.0, observation_noise=0.1, sticky_actions=0.2)
    venv.reset()
    rng, rewards = np.random.default_rng(0), []
    for _ in range(200):
        step = venv.step_arrays(rng.integers(0, 2, 4))
        assert step.episode_returns.tolist() == step.episode_lengths.tolist()
        rewards.append(step.rewards)
    assert np.std(rewards) == pytest.approx(2.0, rel=0.1)


def test_sb3s_step() -> None:
    venv = pool("CartPole-v1", 2, max_episode_steps=5)
    with pytest.raises(AttributeError):
        venv.get_attr("no_such_thing")
    venv.reset()
    for _ in range(5):
        observations, rewards, dones, infos = venv.step(np.array([0, 1]))
    assert dones.tolist() == [True, True]
    assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
    assert [(info["episode"]["r"], info["episode"]["l"]) for info in infos] == [(5.0, 5)] * 2
    assert np.abs(infos[0]["terminal_observation"]).max() > 0.5 > np.abs(observations).max()
    assert rewards.tolist() == [1.0, 1.0]
    venv.close()


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("NoisyCartPole-v1", {}, "no NoisyCartPole-v1; backends that do: native, inprocess, dummy"),
        ("FrozenLake-v1", {}, "no FrozenLake-v1; backends that do: inprocess, dummy"),
        ("CartPole-v1", {"frame_stack": 2}, "no CartPole-v1 with stacked frames; backends that do: inprocess"),
        ("CartPole-v1", {"env_kwargs": {"sutton_barto_reward": True}}, "no env_kwargs .'sutton_barto_reward'.; "),
        ("ALE/Pong-v5", {"render_mode": "rgb_array"}, "no render_mode 'rgb_array'; backends that do: inprocess, dummy"),
        ("ALE/Pong-v5", {"atari": {"fire_reset": True}}, "no fire_reset; backends that do: inprocess, dummy"),
        ("ALE/Pong-v5", {"atari": {"noop_max": 0}}, "no games without no-ops .noop_max=0.; .* inprocess, ale, dummy"),
        ("ALE/Pong-v5", {"exact": True}, "no exact state; backends that do: inprocess, dummy"),
    ],
)
def test_what_it_lacks(env_id: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pool(env_id, **kwargs)


def test_its_state_is_that_of_an_episode_boundary() -> None:
    venv = pool("CartPole-v1")
    venv.reset()
    venv.step_arrays(np.array([0, 1]))
    state = venv.get_state()
    assert venv.state_level == state["level"] == "boundary"

    def resumed() -> np.ndarray:
        other = pool("CartPole-v1", seed=5)
        other.set_state(state)
        return np.array(other.reset())

    np.testing.assert_array_equal(resumed(), resumed())
    assert not np.array_equal(resumed(), pool("CartPole-v1").reset())
