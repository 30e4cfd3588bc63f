"""What stepping is measured against: simulators alone, and SB3's vector environments."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

Step = Callable[[np.ndarray], Any]


def cartpole(n_envs: int) -> Step:
    """Gymnasium's vector environment."""
    env = gymnasium.make_vec("CartPole-v1", n_envs, "vector_entry_point")
    env.reset(seed=0)
    return env.step


def physics(env_id: str, n_envs: int) -> Step:
    """Control write and `mj_step`; no observation, no reward, no end."""
    import mujoco

    from envs.mujoco import quiet_deprecations

    with quiet_deprecations():
        envs: list[Any] = [gymnasium.make(env_id).unwrapped for _ in range(n_envs)]
    for index, env in enumerate(envs):
        env.reset(seed=index)
    simulators = [(env.model, env.data, env.data.ctrl) for env in envs]
    frame_skip, mj_step = envs[0].frame_skip, mujoco.mj_step

    def step(actions: np.ndarray) -> None:
        for (model, data, control), action in zip(simulators, actions, strict=True):
            control[:] = action
            mj_step(model, data, nstep=frame_skip)

    return step


def one_by_one(env_id: str, n_envs: int) -> Step:
    """A loop over unwrapped environments, reset where they end."""
    envs = [gymnasium.make(env_id) for _ in range(n_envs)]
    for index, env in enumerate(envs):
        env.reset(seed=index)

    def step(actions: np.ndarray) -> None:
        for env, action in zip(envs, actions, strict=True):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return step


def atari(game: str, n_envs: int) -> Step:
    """ALE's vector environment, one thread, with the sticky actions of the v5 ids."""
    from ale_py.vector_env import AtariVectorEnv

    env = AtariVectorEnv(game, n_envs, num_threads=1, repeat_action_probability=0.25)
    env.reset(seed=0)
    return env.step


def dummy(env_id: str, n_envs: int, normalized: bool = False) -> Step:
    """SB3's DummyVecEnv of environments with a Monitor, and its VecNormalize around it."""
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

    from envs.mujoco import quiet_deprecations

    warnings.filterwarnings("ignore", message=".*render_mode='rgb_array'.*")  # which make_vec_env asks for
    if env_id.startswith("ALE/"):
        venv: Any = VecFrameStack(make_atari_env("PongNoFrameskip-v4", n_envs, seed=0), 4)
    else:
        with quiet_deprecations():
            venv = make_vec_env(env_id, n_envs, seed=0)
    venv = VecNormalize(venv) if normalized else venv
    venv.reset()
    return venv.step


def _sb3(env_id: str, *, normalized: bool) -> dict[str, Callable[[int], Step]]:
    plain: dict[str, Callable[[int], Step]] = {"SB3 Dummy + Monitor": lambda n_envs: dummy(env_id, n_envs)}
    if normalized:
        plain["SB3 Dummy + Monitor + VecNormalize"] = lambda n_envs: dummy(env_id, n_envs, True)
    return plain


BARE: dict[str, Callable[[int], Step]] = {
    "CartPole-v1": cartpole,
    "HalfCheetah-v5": lambda n_envs: physics("HalfCheetah-v5", n_envs),
    "Hopper-v5": lambda n_envs: physics("Hopper-v5", n_envs),
    "NChain-v0": lambda n_envs: one_by_one("NChain-v0", n_envs),
    "ALE/Pong-v5": lambda n_envs: atari("pong", n_envs),
}
SB3 = {env_id: _sb3(env_id, normalized=env_id not in ("NChain-v0", "ALE/Pong-v5")) for env_id in BARE}
