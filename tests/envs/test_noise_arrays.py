"""Noise on arrays: the levels asked for, the same meaning as the wrappers', and a state that can be put back."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from envs.noise import KINDS, NoiseLevels, RewardNoiseSpec
from envs.noise_arrays import ArrayNoise
from envs.noise_wrappers import add_noise
from envs.state.decode import Decoder
from envs.state.encode import Encoder

DISCRETE = spaces.Discrete(5, start=2)
SPACES = [DISCRETE, spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3), spaces.Box(-2.0, 1.0, (2,), np.float32)]


def array_noise(n: int, space: spaces.Space = DISCRETE, seed: int = 0, **levels: Any) -> ArrayNoise:
    """From the arguments of make_vec, seeded."""
    noise = ArrayNoise(NoiseLevels.parse(**levels), n, space)
    noise.reseed(np.random.default_rng(seed))
    return noise


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        (0.5, RewardNoiseSpec("gaussian", 0.5)),
        ("0.5", RewardNoiseSpec("gaussian", 0.5)),
        ("gaussian:2", RewardNoiseSpec("gaussian", 2.0)),
        ("uniform:1e-1", RewardNoiseSpec("uniform", 0.1)),
        ("student_t:0", RewardNoiseSpec("student_t", 0.0)),
    ],
)
def test_reward_noise_is_parsed(text: float | str, spec: RewardNoiseSpec) -> None:
    assert RewardNoiseSpec.parse(text) == spec


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reward_noise": "gausian:1"}, "unknown, did you mean 'gaussian'"),
        ({"reward_noise": "uniform"}, "must be a number or KIND:STD"),
        ({"reward_noise": "uniform:"}, "must be a number or KIND:STD"),
        ({"reward_noise": "uniform:-1"}, "reward_noise=-1.0"),
        ({"reward_noise": "nan"}, "reward_noise=nan"),
        ({"reward_noise": True}, "reward_noise=True"),
        ({"reward_noise": None}, "reward_noise=None"),
        ({"observation_noise": -1}, "observation_noise=-1"),
        ({"sticky_actions": 1.0}, "sticky_actions=1.0"),
        ({"random_action": -0.1}, "random_action=-0.1"),
        ({"reward_delay": -1}, "reward_delay=-1"),
        ({"reward_delay": 2.5}, "reward_delay=2.5"),
    ],
)
def test_levels_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoiseLevels.parse(**arguments)


def test_whether_there_is_any_noise() -> None:
    assert not NoiseLevels().any
    assert not NoiseLevels.parse(reward_delay=1).any
    for level in ({"reward_noise": 1}, {"observation_noise": 1}, {"sticky_actions": 0.1}, {"random_action": 0.1}):
        assert NoiseLevels.parse(**level).any
    assert NoiseLevels.parse(reward_delay=2).any


def test_without_noise_arrays_are_handed_through() -> None:
    noise, values, ended = array_noise(4), np.arange(4.0), np.zeros(4, bool)
    before = noise.rng.bit_generator.state
    assert noise.executed(values) is values
    assert noise.rewards(values, ended) is values
    assert noise.observations(values) is values
    assert noise.rng.bit_generator.state == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_is_the_standard_deviation(kind: str) -> None:
    noise = array_noise(100, reward_noise=f"{kind}:0.5")
    drawn = np.array([noise.rewards(np.ones(100, np.float32), np.zeros(100, bool)) for _ in range(4000)])
    assert drawn.dtype == np.float32
    assert drawn.mean() == pytest.approx(1.0, abs=0.005)
    # Without a fourth moment the sample's standard deviation converges slowly; the quartiles of t(3) do not.
    assert drawn.std() == pytest.approx(0.5, rel=0.05 if kind == "student_t" else 0.005)
    quartile = {"gaussian": 0.67449, "uniform": np.sqrt(3) / 2, "student_t": 0.76489 / np.sqrt(3)}[kind]
    assert np.quantile(drawn - 1, 0.75) == pytest.approx(0.5 * quartile, rel=0.02)
    if kind == "uniform":
        assert np.abs(drawn - 1).max() <= 0.5 * np.sqrt(3) * (1 + 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_observation_noise(dtype: type) -> None:
    noise = array_noise(1000, observation_noise=0.3)
    observations: np.ndarray = np.full((1000, 20), 2.0, dtype)
    noisy = noise.observations(observations)
    assert noisy.dtype == dtype
    assert noisy.mean() == pytest.approx(2.0, abs=0.01)
    assert noisy.std() == pytest.approx(0.3, rel=0.02)
    assert (observations == 2.0).all()


@pytest.mark.parametrize("space", SPACES)
def test_random_actions(space: spaces.Space) -> None:
    noise = array_noise(4000, space, random_action=0.25)
    assert space.shape is not None
    own = np.zeros((4000, *space.shape), space.dtype)  # never what a random draw gives, if it can be avoided
    if isinstance(space, spaces.Discrete):
        own -= 1
    executed = noise.executed(own)
    assert executed.dtype == own.dtype
    assert not own.any() or isinstance(space, spaces.Discrete)
    replaced = (executed != own).reshape(4000, -1).any(axis=1)
    same_by_chance = {"MultiDiscrete": 1 / 6, "MultiBinary": 1 / 8}.get(type(space).__name__, 0.0)
    assert replaced.mean() == pytest.approx(0.25 * (1 - same_by_chance), abs=0.025)
    assert all(action in space for action in executed[replaced])
    if isinstance(space, spaces.Discrete):
        assert set(executed[replaced].tolist()) == {2, 3, 4, 5, 6}
    if isinstance(space, spaces.Box):
        assert executed[replaced].mean() == pytest.approx(-0.5, abs=0.1)


def test_random_actions_need_a_uniform_distribution() -> None:
    with pytest.raises(ValueError, match="no uniformly random action in Box"):
        array_noise(1, spaces.Box(-np.inf, np.inf, (1,)), random_action=0.1)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_sticky_actions_repeat_what_was_executed(shape: tuple[int, ...]) -> None:
    n = 500
    space: spaces.Space = spaces.Box(-1, 1e6, shape, np.float64)
    noise, repeats, last = array_noise(n, space, sticky_actions=0.25), 0, None
    for step in range(1, 21):
        chosen = np.full((n, *shape), float(step))
        executed = noise.executed(chosen)
        flat = executed.reshape(n, -1)[:, 0]
        if step in (1, 11):  # the first of an episode is executed
            assert (flat == step).all()
        else:
            repeated = flat != step
            assert (flat[repeated] == last[repeated]).all()  # type: ignore[index]
            repeats += repeated.sum()
        last = flat
        if step == 10:
            noise.restart()
    assert repeats / (18 * n) == pytest.approx(0.25, abs=0.02)


def test_rewards_are_paid_every_so_many_steps_and_at_the_end() -> None:
    noise, paid = array_noise(2, reward_delay=3), []
    for step in range(1, 9):
        ended = np.array([step == 5, False])
        paid.append(noise.rewards(np.array([step, 1.0]), ended))
        if ended.any():
            noise.restart(ended)
    #                                      1  2  3  4  5  6  7   8
    assert np.array(paid)[:, 0].tolist() == [0, 0, 6, 0, 9, 0, 0, 21]
    assert np.array(paid)[:, 1].tolist() == [0, 0, 3, 0, 0, 3, 0, 0]
    noise.restart()
    assert noise.rewards(np.ones(2), np.ones(2, bool)).tolist() == [1, 1]


def test_state_can_be_put_back() -> None:
    levels = {"reward_noise": "student_t:1", "observation_noise": 0.1, "sticky_actions": 0.3, "random_action": 0.2}

    def roll(noise: ArrayNoise, steps: int) -> list[list[float]]:
        rows = []
        for step in range(steps):
            ended = np.arange(6) == step
            rows.append([*noise.executed(np.full(6, 2 + step % 5)), *noise.rewards(np.ones(6), ended)])
            rows.append(noise.observations(np.zeros((6, 1)))[:, 0].tolist())
        return rows

    noise, other = (array_noise(6, seed=seed, reward_delay=4, **levels) for seed in (0, 1))
    roll(noise, 5)
    state = Encoder().encode(noise, "noise")
    expected = roll(noise, 20)
    assert roll(Decoder().decode(state, other, "noise"), 20) == expected
    assert roll(Decoder().decode(state, noise, "noise"), 20) == expected  # the state is a copy: it did not move


class Counting(gymnasium.Env[np.ndarray, Any]):
    """Pays 10 times the action, for 8 steps; observes the number of steps."""

    observation_space = spaces.Box(0, 8, (1,), np.float32)
    action_space = spaces.Discrete(5)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return np.full(1, self.steps, np.float32), 10.0 * float(action), self.steps == 8, False, {}


def test_arrays_and_wrappers_have_the_same_distribution() -> None:
    n, levels = 4000, NoiseLevels.parse("uniform:2", 0.5, sticky_actions=0.3, random_action=0.4, reward_delay=3)
    agent = np.arange(8) % 5  # what the agent does at each step of the episode
    by_wrapper = np.empty((2, n, 8))
    env = add_noise(Counting(), levels)
    env.reset(seed=0)
    for episode in range(n):
        env.reset()
        for step in range(8):
            observation, reward, _, _, _ = env.step(agent[step])
            by_wrapper[:, episode, step] = reward, observation[0]
    noise = ArrayNoise(levels, n, Counting.action_space)
    noise.reseed(np.random.default_rng(1))
    by_array = np.empty((2, n, 8))
    for step in range(8):
        rewards = 10.0 * noise.executed(np.full(n, agent[step]))
        by_array[0, :, step] = noise.rewards(rewards, np.full(n, step == 7))
        by_array[1, :, step] = noise.observations(np.full((n, 1), step + 1, np.float32))[:, 0]
    for which, tolerance in ((0, 1.5), (1, 0.05)):  # about four standard errors
        np.testing.assert_allclose(by_array[which].mean(0), by_wrapper[which].mean(0), atol=tolerance)
        np.testing.assert_allclose(by_array[which].std(0), by_wrapper[which].std(0), atol=tolerance)
