"""`make_vec`: N environments of one id as an SB3 VecEnv that also steps by arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from . import checks
from .atari import is_atari, make_protocol
from .backends.choice import BACKENDS, make_backend
from .ids import check_env_kwargs, resolve_id
from .noise import NOISE_ARGUMENTS, NoiseLevels
from .normalize import VecNormalize
from .single import EnvOptions, brings_own_noise

__all__ = ["BACKENDS", "make_vec"]

_NORMALIZE_KEYS = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs_keys")


def make_vec(
    env_id: str,
    n_envs: int = 1,
    seed: int | None = None,
    backend: str = "auto",
    normalize: bool | Mapping[str, Any] = False,
    *,
    training: bool = True,
    env_kwargs: Mapping[str, Any] | None = None,
    reward_noise: float | str = 0.0,
    observation_noise: float = 0.0,
    sticky_actions: float = 0.0,
    random_action: float = 0.0,
    reward_delay: int = 0,
    frame_stack: int | None = None,
    monitor_dir: str | Path | None = None,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    atari: Mapping[str, Any] | None = None,
    exact: bool = False,
    allow_deprecated: bool = False,
    num_threads: int = 1,
) -> VecEnv:
    """N environments with same-step resets: SB3's interface, and `step_arrays` (see `StepArrays`) beside it.

    Reported returns (`info["episode"]`, `episode_returns`, monitor files) are always of whole episodes, free of noise,
    clipping and normalisation.

    Args:
        env_id: a Gymnasium id; Atari ids get the preprocessing of envs.atari.
        n_envs: N >= 1.
        seed: environment i is seeded seed + i at the next reset (native: one generator for all); None for entropy.
        backend: "native" (CartPole as one array), "inprocess" (environments one by one in this process), "ale" (Atari
            by ale_py's AtariVectorEnv), "envpool" (the extra of that name), "dummy" and "subproc" (SB3's), or "auto":
            the cheapest, EnvPool apart.
        normalize: True or arguments of VecNormalize (norm_obs, norm_reward, clip_obs, clip_reward, gamma, ...).
        training: False for evaluation: no reward clipping, no episode end by life loss, frozen statistics and rewards
            that are not normalised.
        env_kwargs: arguments of the environment's constructor.
        reward_noise: STANDARD DEVIATION of the reward noise in reward units, or "gaussian:0.5", "uniform:0.5",
            "student_t:0.5"; 0 adds none (NoisyCartPole-v1 then keeps its own level, and takes any other instead of it).
        observation_noise: standard deviation of Gaussian observation noise; as above.
        sticky_actions: probability that the previous action is executed instead; as above. On Atari it replaces the
            emulator's probability per frame.
        random_action: probability that a uniformly random action is executed instead of the agent's.
        reward_delay: rewards are paid in one sum every so many steps, and at the end of the episode; 0 pays at once.
        frame_stack: stack the last k observations along a new first axis (Atari: 4 unless given).
        monitor_dir: folder for SB3's `<i>.monitor.csv`.
        render_mode: as for gymnasium.make.
        max_episode_steps: truncate episodes after so many steps (Atari: of 4 frames) instead of the id's own limit.
        atari: fields of AtariProtocol to change.
        exact: only a backend that saves its state exactly (`state_level`); Atari's sticky actions then have the
            emulator's law, but other random numbers.
        allow_deprecated: accept ids that have a newer version.
        num_threads: worker threads of "ale" and "envpool", which pay where something waits for the environments, as a
            GPU does; results don't depend on it, and other backends have none.

    Raises:
        ValueError: a name that is not known (the closest is named), a value out of range, or, with `exact`, a state
            that can't be saved.
        ImportError: the id needs a package that is missing.
    """
    n_envs, seed = checks.integer("n_envs", n_envs, 1), checks.seed(seed)
    spec = resolve_id(env_id, allow_deprecated)
    check_env_kwargs(env_id, env_kwargs)
    options = EnvOptions(
        spec,
        dict(env_kwargs or {}),
        NoiseLevels.parse(reward_noise, observation_noise, sticky_actions, random_action, reward_delay),
        frame_stack if frame_stack is None else checks.integer("frame_stack", frame_stack, 1),
        max_episode_steps if max_episode_steps is None else checks.integer("max_episode_steps", max_episode_steps, 1),
        render_mode,
        monitor_dir=None if monitor_dir is None else str(monitor_dir),
        exact=exact,
        num_threads=checks.integer("num_threads", num_threads, 1),
    )
    if is_atari(spec):
        rules = make_protocol(spec, training, sticky_actions, frame_stack, max_episode_steps, atari)
        noise = replace(options.noise, sticky=0.0)  # the emulator's own
        options = replace(options, atari=rules, noise=noise, frame_stack=rules.frame_stack)
    elif atari:
        raise ValueError(f"atari={dict(atari)!r}: {env_id} is not an Atari game")
    if brings_own_noise(spec):
        levels = (reward_noise, observation_noise, sticky_actions, random_action, reward_delay)
        options = _with_own_noise(options, dict(zip(NOISE_ARGUMENTS, levels, strict=True)))
    normalizer = _normalizer_arguments(normalize, training)
    venv = make_backend(backend, options, n_envs)
    if exact:
        _require_exact(venv, env_id)
    if seed is not None:
        venv.seed(seed)
        venv.action_space.seed(seed)
    return venv if normalizer is None else VecNormalize(venv, **normalizer)


def _require_exact(venv: Any, env_id: str) -> None:
    state = venv.get_state()
    if state["level"] != "exact":
        venv.close()
        raise ValueError(f"exact=True: no backend can save the state of {env_id} ({state['reason']})")


def _with_own_noise(options: EnvOptions, levels: Mapping[str, Any]) -> EnvOptions:
    """Hand the noise levels that were given to the environment's constructor."""
    kwargs = dict(options.env_kwargs)
    for name, level in levels.items():
        if level and kwargs.setdefault(name, level) != level:
            raise ValueError(f"{name}={level}: env_kwargs says {kwargs[name]}")
    return replace(options, env_kwargs=kwargs, noise=NoiseLevels())


def _normalizer_arguments(normalize: bool | Mapping[str, Any], training: bool) -> dict[str, Any] | None:
    """Arguments of VecNormalize, or None for no normalisation."""
    if isinstance(normalize, bool):
        if not normalize:
            return None
        arguments: dict[str, Any] = {}
    elif isinstance(normalize, Mapping):
        arguments = dict(normalize)
    else:
        raise ValueError(f"normalize={normalize!r}: must be True, False or a dict of VecNormalize's arguments")
    checks.known_keys("normalize", arguments, _NORMALIZE_KEYS)
    for name in ("clip_obs", "clip_reward", "epsilon"):
        if name in arguments and not checks.number(f"normalize {name}", arguments[name]) > 0:
            raise ValueError(f"normalize {name}={arguments[name]!r}: must be > 0")
    if "gamma" in arguments and checks.number("normalize gamma", arguments["gamma"]) > 1:
        raise ValueError(f"normalize gamma={arguments['gamma']!r}: must lie in [0, 1]")
    if not training:
        arguments |= {"training": False, "norm_reward": False}
    return arguments
