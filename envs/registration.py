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

_PROBES: dict[str, tuple[str, dict[str, Any]]] = {
    "ProbeConstant-v0": ("ProbeConstant", {}),
    "ProbeConstantBox-v0": ("ProbeConstant", {"actions": "box"}),
    "ProbeObservation-v0": ("ProbeObservation", {}),
    "ProbeObservationBox-v0": ("ProbeObservation", {"actions": "box"}),
    "ProbeDiscount-v0": ("ProbeDiscount", {}),
    "ProbeDiscountBox-v0": ("ProbeDiscount", {"actions": "box"}),
    "ProbeTruncation-v0": ("ProbeTruncation", {}),
    "ProbeAction-v0": ("ProbeAction", {}),
    "ProbeActionBox-v0": ("ProbeAction", {"actions": "box"}),
    "ProbeActionMultiDiscrete-v0": ("ProbeAction", {"actions": "multi_discrete"}),
    "ProbeActionMultiBinary-v0": ("ProbeAction", {"actions": "multi_binary"}),
}

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
    for env_id, (name, kwargs) in _PROBES.items():
        limit = 5 if name == "ProbeTruncation" else None
        gymnasium.register(env_id, entry_point=f"envs.probe:{name}", max_episode_steps=limit, kwargs=kwargs)
