"""NoisyCartPole-v1: CartPole-v1 with Gaussian reward noise, the task on which alpha-Tsallis PPO was compared with PPO.

The paper's text calls its noise level sigma^2; its code, and bsuite's RewardNoise before it, use a standard deviation,
as here.
"""

from __future__ import annotations

import gymnasium
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from .noise import NoiseLevels
from .noise_wrappers import add_noise

DEFAULT_REWARD_NOISE = 0.5


class NoisyCartPoleEnv(CartPoleEnv):
    """CartPole with its noise levels; `gymnasium.make("NoisyCartPole-v1")` puts the noise around it.

    Initial states and dynamics are those of CartPole-v1 with the same seed; `info["episode"]["r"]` is free of noise.

    Args:
        reward_noise: STANDARD DEVIATION of the noise added to each reward (CartPole pays 1 a step), >= 0, Gaussian
            unless given as "uniform:0.5" or "student_t:0.5".
        observation_noise: standard deviation of the Gaussian added to each observed number, >= 0.
        sticky_actions: probability in [0, 1) that the previous action is executed instead.
        random_action: probability in [0, 1) that a uniformly random action is executed instead.
        reward_delay: rewards are paid in one sum every so many steps, and at the end of the episode.
        sutton_barto_reward: CartPole's own option: 0 a step, -1 at the end.
        render_mode: CartPole's own.

    Raises:
        ValueError: a level is out of range.
    """

    def __init__(
        self,
        reward_noise: float | str = DEFAULT_REWARD_NOISE,
        observation_noise: float = 0.0,
        sticky_actions: float = 0.0,
        random_action: float = 0.0,
        reward_delay: int = 0,
        sutton_barto_reward: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(sutton_barto_reward, render_mode)
        self.noise = NoiseLevels.parse(reward_noise, observation_noise, sticky_actions, random_action, reward_delay)


def own_noise(env: gymnasium.Env) -> gymnasium.Env:
    """Add the noise that the wrapped NoisyCartPoleEnv asks for."""
    levels = env.unwrapped
    assert isinstance(levels, NoisyCartPoleEnv)
    return add_noise(env, levels.noise)
