"""Our environment ids, in Gymnasium's registry."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.envs.registration import WrapperSpec

# Gymnasium puts `additional_wrappers` around its TimeLimit, so the recorder also sees episodes that were cut off, and
# with any `max_episode_steps`; the noise then lies around the recorder, which keeps the reported returns clean.
_NOISE_AROUND_RECORDER = (
    WrapperSpec("EpisodeRecorder", "envs.recorder:EpisodeRecorder", {}),
    WrapperSpec("own_noise", "envs.noisy_cartpole:own_noise", {}),
)

# What a probe can be made with, by the part of its id that says so.
_PROBE_KINDS = ("Constant", "Observation", "Discount", "Truncation", "Action")
_PROBE_SPACES: dict[str, dict[str, str]] = {
    "": {},
    "Box": {"actions": "box"},
    "MultiDiscrete": {"actions": "multi_discrete"},
    "MultiBinary": {"actions": "multi_binary"},
    "Dict": {"observations": "dict"},
}
_PROBES = tuple(f"Probe{kind}{space}-v0" for kind in _PROBE_KINDS for space in _PROBE_SPACES)

# id -> entry point, and what else Gymnasium is told about it
_TABULAR: dict[str, tuple[str, dict[str, Any]]] = {
    "NChain-v0": ("envs.chains:NChainEnv", {"reward_threshold": 10.0}),
    "DeepSea-v0": ("envs.chains:DeepSeaEnv", {"reward_threshold": 0.99}),
    "Bandit-v0": ("envs.bandits:BanditEnv", {}),
    "CliffWalkingFeatures-v0": ("envs.gridworlds:CliffWalkingFeaturesEnv", {"max_episode_steps": 200}),
    "FrozenLakeFeatures-v0": ("envs.gridworlds:FrozenLakeFeaturesEnv", {"max_episode_steps": 100}),
}

OUR_IDS = ("NoisyCartPole-v1", *_TABULAR, *_PROBES)


def register_envs() -> None:
    """Register our ids; harmless when called again. Also the target of the `gymnasium.envs` entry point."""
    if "NoisyCartPole-v1" in gymnasium.registry:
        return
    gymnasium.register(
        "NoisyCartPole-v1",
        entry_point="envs.noisy_cartpole:NoisyCartPoleEnv",
        reward_threshold=475.0,
        max_episode_steps=500,
        additional_wrappers=_NOISE_AROUND_RECORDER,
    )
    for env_id, (entry_point, more) in _TABULAR.items():
        gymnasium.register(env_id, entry_point=entry_point, **more)
    for kind in _PROBE_KINDS:
        for space, kwargs in _PROBE_SPACES.items():
            env_id, limit = f"Probe{kind}{space}-v0", 5 if kind == "Truncation" else None
            gymnasium.register(env_id, entry_point=f"envs.probe:Probe{kind}", max_episode_steps=limit, kwargs=kwargs)
