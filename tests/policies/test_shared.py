"""Layers that actor and critic share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents import MDPO, PPO
from agents.policies import SharedMlp

SHARED = {"features_extractor_class": "SharedMlp", "features_extractor_kwargs": {"net_arch": [16]}, "net_arch": [8]}


def test_features_are_those_of_the_layers() -> None:
    extractor = SharedMlp(spaces.Box(-1, 1, (2, 3)), [5, 4], "ReLU")
    x = torch.randn(7, 2, 3)
    first, _, second, _ = extractor.layers
    assert torch.equal(extractor(x), second(first(x.flatten(1)).relu()).relu())
    assert extractor.features_dim == 4


@pytest.mark.parametrize("net_arch", [[], [0], [8, -1]])
def test_no_layers_are_refused(net_arch: list[int]) -> None:
    with pytest.raises(ValueError, match=r"net_arch=.*at least one layer"):
        SharedMlp(spaces.Box(-1, 1, (2,)), net_arch)


@pytest.mark.parametrize("engine", ["torch", "fused"])
def test_it_trains_and_comes_back_from_a_file(engine: str, tmp_path: Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, policy_kwargs=SHARED, engine=engine, seed=0).learn(128)
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model")
    observation = np.ones(4, np.float32)
    assert again.predict(observation, deterministic=True)[0] == model.predict(observation, deterministic=True)[0]
    for ours, theirs in zip(again.policy.parameters(), model.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_separate_steps_over_shared_layers_need_torch() -> None:
    model = MDPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, policy_kwargs=SHARED, engine="fused")
    with pytest.raises(ValueError, match="separate steps of actor and critic, which share layers"):
        model.learn(64)
