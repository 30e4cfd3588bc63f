"""Noise: as much as asked for, from its own generator, never in what is reported."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from envs import DelayedReward, ObservationNoise, RandomAction, RewardNoise, StickyActions, make_vec
from envs.noise import KINDS
from envs.recorder import HISTORY, EpisodeRecorder
from envs.registration import OUR_IDS


def roll(env: gymnasium.Env, steps: int, seed: int = 0) -> list[Any]:
    """Random transitions, with resets where episodes end."""
    rng = np.random.default_rng(seed)
    rows: list[Any] = [(env.reset(seed=seed)[0],)]
    for _ in range(steps):
        rows.append(env.step(int(rng.integers(2))))
        if rows[-1][2] or rows[-1][3]:
            rows.append((env.reset()[0],))
    return rows


@pytest.mark.parametrize("env_id", OUR_IDS)
@pytest.mark.filterwarnings("ignore:.*Box observation space m.*imum value is", "ignore:.*different from the unwrapped")
def test_checkers_pass(env_id: str) -> None:
    check_env(gymnasium.make(env_id).unwrapped)
    check_env(gymnasium.make(env_id))
    sb3_check_env(gymnasium.make(env_id))


def test_noisy_cartpole_is_cartpole_with_noise_on_the_reward() -> None:
    noisy, clean = roll(gymnasium.make("NoisyCartPole-v1"), 3000), roll(gymnasium.make("CartPole-v1"), 3000)
    assert len(noisy) == len(clean) > 3050
    noise = []
    for row, reference in zip(noisy, clean, strict=True):
        np.testing.assert_array_equal(row[0], reference[0])
        if len(row) > 1:
            assert row[2:4] == reference[2:4]
            noise.append(row[1] - reference[1])
    assert abs(np.mean(noise)) < 4 * 0.5 / np.sqrt(3000)
    assert np.std(noise) == pytest.approx(0.5, rel=0.05)  # a standard deviation, not a variance


def test_noise_is_seeded_and_leaves_the_global_generator_alone() -> None:
    kwargs = {"reward_noise": 1.0, "observation_noise": 0.1, "sticky_actions": 0.3}
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    first, again, other = (roll(gymnasium.make("NoisyCartPole-v1", **kwargs), 200, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[arg-type]
    assert all(np.array_equal(a[0], b[0]) and a[1:4] == b[1:4] for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0][0], other[0][0])


def test_kinds_of_noise_are_independent() -> None:
    env = gymnasium.make("NoisyCartPole-v1", reward_noise=1.0, observation_noise=1.0)
    generators = [env.get_wrapper_attr("rng"), env.get_wrapper_attr("env").rng] if env.reset(seed=0) else []
    assert generators[0].standard_normal() != generators[1].standard_normal()


def test_observation_noise() -> None:
    clean, noisy = gymnasium.make("CartPole-v1"), ObservationNoise(gymnasium.make("CartPole-v1"), 0.3)
    assert isinstance(noisy.observation_space, gymnasium.spaces.Box)
    assert not noisy.observation_space.is_bounded()
    noise = np.array([a[0] - b[0] for a, b in zip(roll(noisy, 1000), roll(clean, 1000), strict=True)])
    assert noise.dtype == np.float32
    assert noise.std(axis=0) == pytest.approx(np.full(4, 0.3), rel=0.1)


class Echo(gymnasium.Env[np.ndarray, Any]):
    """Pays the action it gets, for 50 steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(1000)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return np.zeros(1, np.float32), float(np.squeeze(action)), self.steps == 50, False, {}


def test_sticky_actions() -> None:
    env = StickyActions(Echo(), 0.25)
    repeats, chances = 0, 0
    env.reset(seed=0)
    for action in range(1, 951):  # 19 episodes, never the same action twice
        executed = env.step(action)
        if action % 50 == 1:
            assert executed[1] == action  # the first of an episode
        else:
            chances += 1
            repeats += executed[1] != action
        if executed[2]:
            env.reset()
    assert repeats / chances == pytest.approx(0.25, abs=0.06)


def test_sticky_actions_remember_what_was_executed_in_a_buffer_that_is_reused() -> None:
    env = StickyActions(Echo(), 0.9)
    env.reset(seed=0)
    buffer, executed = np.zeros(1, np.float32), []
    for action in range(1, 31):
        buffer[0] = action
        executed.append(env.step(buffer[0:1])[1])
    assert len(set(executed)) < 15


@pytest.mark.parametrize("limit", [None, 7])
def test_returns_of_noisy_cartpole_are_clean(limit: int | None) -> None:
    env = gymnasium.make("NoisyCartPole-v1", reward_noise=3.0, max_episode_steps=limit)
    records = [(row[4]["episode"], row[3]) for row in roll(env, 500) if len(row) > 1 and "episode" in row[4]]
    assert all(record["r"] == record["l"] for record, _ in records)
    assert any(truncated for _, truncated in records) == (limit is not None)


def test_sb3_reports_clean_returns() -> None:
    model = PPO("MlpPolicy", "NoisyCartPole-v1", n_steps=128, batch_size=128, n_epochs=1, seed=0, device="cpu").learn(
        256
    )
    assert len(model.ep_info_buffer) > 3
    assert all(record["r"] == record["l"] for record in model.ep_info_buffer)
    for env in (
        gymnasium.make("NoisyCartPole-v1"),
        gymnasium.make("NoisyCartPole-v1", max_episode_steps=5),
        Monitor(gymnasium.make("NoisyCartPole-v1")),  # a Monitor outside the noise would see it
        make_vec_env("NoisyCartPole-v1", 2),
        make_vec("NoisyCartPole-v1", 2),
    ):
        returns, lengths = evaluate_policy(model, env, 3, return_episode_rewards=True)
        assert returns == lengths


def test_spec_rebuilds_the_same_env() -> None:
    env = gymnasium.make("NoisyCartPole-v1", reward_noise=2.0, sticky_actions=0.5)
    assert env.spec is not None
    again = gymnasium.make(env.spec)
    assert str(again) == str(env)
    assert again.get_wrapper_attr("noise").std == 2.0


@pytest.mark.parametrize(
    ("wrapper", "level"), [(RewardNoise, -1.0), (RewardNoise, np.inf), (ObservationNoise, -1.0), (StickyActions, 1.0)]
)
def test_levels_out_of_range(wrapper: type, level: float) -> None:
    with pytest.raises(ValueError, match="must be a number >= 0"):
        wrapper(gymnasium.make("CartPole-v1"), level)


def test_observation_noise_needs_floats() -> None:
    with pytest.raises(ValueError, match="needs a Box of floats"):
        ObservationNoise(gymnasium.make("FrozenLake-v1"), 0.1)


def test_recorder_memory_is_bounded_and_totals_are_not() -> None:
    env = EpisodeRecorder(gymnasium.make("ProbeConstant-v0"))
    for _ in range(HISTORY + 10):
        env.reset()
        info = env.step(0)[4]
    assert info["episode"]["r"] == info["episode"]["l"] == 1
    assert len(env.get_episode_rewards()) == len(env.get_episode_lengths()) == len(env.get_episode_times()) == HISTORY
    assert env.get_total_steps() == HISTORY + 10
    assert env.rewards == []
    with pytest.raises(RuntimeError, match="needs reset"):
        env.step(0)


def test_own_levels_of_noisy_cartpole_are_replaced_not_added() -> None:
    assert make_vec("NoisyCartPole-v1", backend="inprocess").get_attr("noise")[0].std == 0.5
    assert make_vec("NoisyCartPole-v1", backend="inprocess", reward_noise=2.0).get_attr("noise")[0].std == 2.0
    quiet = make_vec("NoisyCartPole-v1", backend="inprocess", env_kwargs={"reward_noise": 0.0})
    quiet.reset()
    assert quiet.step(np.array([0]))[1] == [1.0]
    with pytest.raises(ValueError, match=r"env_kwargs says 1\.0"):
        make_vec("NoisyCartPole-v1", reward_noise=2.0, env_kwargs={"reward_noise": 1.0})


@pytest.mark.parametrize("backend", ["native", "inprocess", "dummy"])
def test_returns_of_array_steps_are_clean(backend: str) -> None:
    noise = {"reward_noise": "uniform:3", "observation_noise": 0.1, "sticky_actions": 0.1, "random_action": 0.3}
    venv = make_vec("CartPole-v1", 3, 0, backend, reward_delay=4, **noise)
    venv.reset()
    returns, lengths, rewards = [], [], []
    for _ in range(300):
        step = venv.step_arrays(np.zeros(3, np.int64))
        returns.extend(step.episode_returns)
        lengths.extend(step.episode_lengths)
        rewards.append(step.rewards)
    assert returns == lengths
    assert len(returns) > 20
    assert np.std(rewards) > 3.0


def test_noise_on_atari() -> None:
    noisy = {"reward_noise": "student_t:2", "random_action": 0.3, "sticky_actions": 0.2, "reward_delay": 3}
    venv = make_vec("ALE/Pong-v5", 2, 0, "inprocess", max_episode_steps=40, **noisy)
    assert venv.get_attr("random_probability") == [0.3, 0.3]
    with pytest.raises(AttributeError):
        venv.get_attr("repeat_probability")  # the emulator's own
    venv.reset()
    steps = [venv.step_arrays(np.zeros(2, np.int64)) for _ in range(80)]
    assert sum(len(step.episode_returns) for step in steps) == 4
    assert all(value == round(value) for step in steps for value in step.episode_returns)
    assert np.std([step.rewards for step in steps]) > 0.5
    with pytest.raises(ValueError, match="needs a Box of floats"):
        make_vec("ALE/Pong-v5", 1, 0, "inprocess", observation_noise=0.1)


def test_random_actions() -> None:
    env = RandomAction(Echo(), 0.5)
    env.reset(seed=0)
    executed = []
    for _ in range(2000):
        _, reward, terminated, _, _ = env.step(7)
        executed.append(float(reward))
        if terminated:
            env.reset()
    others = [action for action in executed if action != 7]
    assert len(others) / 2000 == pytest.approx(0.5, abs=0.05)
    assert 0 <= min(others) < max(others) < 1000
    assert np.mean(others) == pytest.approx(500, abs=40)
    unbounded = Echo()
    unbounded.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))  # type: ignore[assignment]
    with pytest.raises(ValueError, match="no uniformly random action"):
        RandomAction(unbounded, 0.1)


def test_delayed_rewards_keep_the_return_and_its_record() -> None:
    env = DelayedReward(EpisodeRecorder(Echo()), 20)
    env.reset(seed=0)
    paid = []
    for step in range(1, 51):
        _, reward, _, _, info = env.step(step)
        paid.append(reward)
    assert np.flatnonzero(paid).tolist() == [19, 39, 49]
    assert sum(paid) == info["episode"]["r"] == 50 * 51 / 2
    env.reset()
    assert (env.held_back, env.waited) == (0.0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_reward_noise(kind: str) -> None:
    env = RewardNoise(gymnasium.make("ProbeTruncation-v0", max_episode_steps=20_000), 0.5, kind)
    env.reset(seed=0)
    rewards = np.array([env.step(0)[1] for _ in range(20_000)], float)
    assert rewards.mean() == pytest.approx(1.0, abs=0.02)
    assert rewards.std() == pytest.approx(0.5, rel=0.1 if kind == "student_t" else 0.02)


def test_environments_have_noise_of_their_own_that_the_seed_decides() -> None:
    for backend in ("inprocess", "native"):
        rewards = []
        for seed in (0, 0, 1):
            venv = make_vec("CartPole-v1", 2, seed, backend, reward_noise="uniform:1")
            venv.reset()
            rewards.append(np.array([venv.step_arrays(np.array([0, 0])).rewards for _ in range(5)]))
        np.testing.assert_array_equal(rewards[0], rewards[1])
        assert not np.isclose(rewards[0], rewards[2]).any()
        assert not np.isclose(rewards[0][:, 0], rewards[0][:, 1]).any()
