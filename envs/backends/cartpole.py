"""The equations of Gymnasium's CartPoleVectorEnv, to the bit, without its bookkeeping."""

from __future__ import annotations

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv


def step_states(env: CartPoleVectorEnv, actions: np.ndarray) -> np.ndarray:
    """Advance `env.state` [4, N] by one step; actions [N] int64, 0 pushes left and 1 right. Returns terminated [N].

    Constants are those of `env`. Source: coneural.org/florian/papers/05_cart_pole.pdf, equations 23 and 24.

    Raises:
        ValueError: an action is neither 0 nor 1.
    """
    if np.bitwise_or.reduce(actions) >> 1:
        raise ValueError(f"actions={actions.tolist()}: must be 0 or 1")
    state = env.state
    assert isinstance(state, np.ndarray)
    _, x_dot, theta, theta_dot = state
    force = np.array((-env.force_mag, env.force_mag))[actions]
    cos, sin = np.cos(theta), np.sin(theta)
    push = (force + env.polemass_length * np.square(theta_dot) * sin) / env.total_mass
    inertia = env.length * (4.0 / 3.0 - env.masspole * np.square(cos) / env.total_mass)
    theta_acc = (env.gravity * sin - cos * push) / inertia
    rates = np.empty_like(state)
    rates[0], rates[2] = x_dot, theta_dot
    rates[1] = push - env.polemass_length * theta_acc * cos / env.total_mass
    rates[3] = theta_acc
    if env.kinematics_integrator == "euler":
        state = state + env.tau * rates
    else:  # semi-implicit: velocities first, then positions with the new velocities
        rates[1::2] = state[1::2] + env.tau * rates[1::2]
        rates[::2] = state[::2] + env.tau * rates[1::2]
        state = rates
    env.state = state
    return (np.abs(state[0]) > env.x_threshold) | (np.abs(state[2]) > env.theta_threshold_radians)
