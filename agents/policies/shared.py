"""Layers that actor and critic share: a features extractor that is a plain multilayer perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import gymnasium
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from .names import CLASSES, class_from_name


class SharedMlp(BaseFeaturesExtractor):
    """Linear layers on the flattened observation, each with its activation, for actor and critic alike.

    `policy_kwargs=dict(features_extractor_class="SharedMlp", features_extractor_kwargs=dict(net_arch=[64]),
    net_arch=[32])` shares 64 units, and gives 32 more to each. With `share_features_extractor=False` each has its own.

    Args:
        observation_space: as for any features extractor.
        net_arch: units of the layers, at least one.
        activation_fn: a class, or its name as in `policy_kwargs`.

    Raises:
        ValueError: for no layers, or one without units.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space,
        net_arch: Sequence[int] = (64,),
        activation_fn: type[nn.Module] | str = nn.Tanh,
    ) -> None:
        if not net_arch or min(net_arch) < 1:
            raise ValueError(f"net_arch={net_arch!r}: SharedMlp needs at least one layer, and units in each")
        super().__init__(observation_space, net_arch[-1])
        activation = class_from_name("activation_fn", activation_fn)
        widths = itertools.pairwise([get_flattened_obs_dim(observation_space), *net_arch])
        layers = [module for wide, narrow in widths for module in (nn.Linear(wide, narrow), activation())]
        self.layers = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        """Features [B, net_arch[-1]] of observations [B, ...]."""
        return self.layers(observations.flatten(1))


CLASSES["features_extractor_class"][SharedMlp.__name__] = SharedMlp
