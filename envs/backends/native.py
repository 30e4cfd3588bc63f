"""CartPole as one array: the state, constants, resets and pictures of Gymnasium's own vector environment.

Gymnasium's vector environment resets an ended episode one step late, in a step that ignores the action. Here the ended
rows are reset in the same step, so no such row is ever handed out. All rows share one generator: the seed of
environment 0 seeds all of them, and initial states differ from those of separate environments with the same seed.
"""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from ..noise import NOISE_ARGUMENTS, NoiseLevels
from ..noise_arrays import ArrayNoise
from ..noisy_cartpole import DEFAULT_REWARD_NOISE
from ..single import EnvOptions, brings_own_noise
from .arrays import NO_EPISODES, StepArrays
from .batched import BatchedVecEnv
from .cartpole import step_states

NATIVE_IDS = ("CartPole-v1", "NoisyCartPole-v1")


def lacks(options: EnvOptions) -> str | None:
    """What of these options the array of CartPoles does not have; None if it has it all."""
    if options.spec.id not in NATIVE_IDS:
        return f"{options.spec.id}, only {', '.join(NATIVE_IDS)}"
    return None if options.frame_stack is None else f"{options.spec.id} with stacked frames"


class NativeVecEnv(BatchedVecEnv):
    """N CartPoles as one array, with the noise of envs.noise drawn for all of them at once."""

    state_kind = "native"
    state_attributes = ("vector", "noise", "book")

    def __init__(self, options: EnvOptions, n_envs: int) -> None:
        kwargs = dict(options.env_kwargs)
        levels = options.noise
        if brings_own_noise(options.spec):
            own = {name: kwargs.pop(name) for name in NOISE_ARGUMENTS if name in kwargs}
            levels = NoiseLevels.parse(**{"reward_noise": DEFAULT_REWARD_NOISE} | own)
        env = gymnasium.make_vec(
            "CartPole-v1",
            n_envs,
            "vector_entry_point",
            max_episode_steps=options.max_episode_steps or 500,
            render_mode=options.render_mode,
            **kwargs,
        )
        assert isinstance(env, CartPoleVectorEnv)
        self.noise = ArrayNoise(levels, n_envs, env.single_action_space)
        space = self.noise.observation_space(env.single_observation_space)
        super().__init__(env, options, n_envs, space, env.single_action_space)

    def reset(self) -> np.ndarray:
        """Start N episodes; a pending seed seeds states and noise."""
        seed = self._seeds[0]
        observations, _ = self.vector.reset(seed=seed, options=self._options[0] or None)
        if seed is not None:
            self.noise.reseed(self.vector.np_random.spawn(1)[0])
        self._reset_seeds()
        self._reset_options()
        self.noise.restart()
        self.book.restart()
        return self.noise.observations(np.ascontiguousarray(observations))

    def step_arrays(self, actions: np.ndarray) -> StepArrays:
        """One step of all environments; see `StepArrays`."""
        env, noise, episodes = self.vector, self.noise, NO_EPISODES
        terminated = step_states(env, noise.executed(np.asarray(actions, np.int64).reshape(self.num_envs)))
        env.steps += 1
        truncated = env.steps >= env.max_episode_steps
        ended = terminated | truncated
        truncated &= ~terminated
        rewards = -terminated.astype(np.float32) if env._sutton_barto_reward else np.ones(self.num_envs, np.float32)
        self.book.add(rewards)
        rewards = noise.rewards(rewards, ended)
        observations = final = env.state.T.astype(np.float32, "C")
        if ended.any():
            rows = np.flatnonzero(ended)
            episodes = self.book.finish(rows)
            observations = final.copy()
            observations[rows] = self._restart(rows)
            noise.restart(rows)
            final = noise.observations(final)
            noisy = noise.observations(observations)
        else:
            noisy = final = noise.observations(observations)
        return StepArrays(noisy, rewards, terminated, truncated, final, *episodes)

    def _restart(self, rows: np.ndarray) -> np.ndarray:
        """Draw new initial states [K, 4] for these rows [K], as the vector environment itself would one step later."""
        env = self.vector
        states = env.np_random.uniform(env.low, env.high, (4, len(rows)))
        env.state[:, rows] = states
        env.steps[rows] = 0
        return states.T.astype(np.float32)
