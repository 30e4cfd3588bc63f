"""Policies say what they can't be built for, or of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from torch import nn

from agents.policies import ActorCriticPolicy

BOX = spaces.Box(-1, 1, (3,), np.float32)


def policy(net_arch: Any = None, observed: spaces.Space = BOX, cls: type[ActorCriticPolicy] = ActorCriticPolicy) -> Any:
    return cls(observed, spaces.Discrete(2), lambda _: 1e-3, net_arch=net_arch)


@pytest.mark.parametrize(
    ("net_arch", "widths"),
    [
        (None, ([64, 64], [64, 64])),
        ([], ([], [])),
        ([np.int64(8)], ([8], [8])),
        ((8, 4), ([8, 4], [8, 4])),
        ({"pi": [8]}, ([8], [])),
        ({"pi": [8], "vf": (4, 2)}, ([8], [4, 2])),
    ],
)
def test_widths(net_arch: Any, widths: tuple[list[int], list[int]]) -> None:
    bodies = policy(net_arch).mlp_extractor.policy_net, policy(net_arch).mlp_extractor.value_net
    assert [[layer.out_features for layer in body if isinstance(layer, nn.Linear)] for body in bodies] == [*widths]


@pytest.mark.parametrize("net_arch", [64, "64", 0, [64, 0], [64.0], ["64"], {"pi": 64}, {"vf": [None]}])
def test_no_widths(net_arch: Any) -> None:
    with pytest.raises(ValueError, match="must be the widths of the layers"):
        policy(net_arch)


def test_a_network_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="net_arch='vff': must be one of pi, vf, did you mean 'vf'"):
        policy({"pi": [8], "vff": [8]})


def test_an_extractor_of_the_users_may_want_something_else() -> None:
    class Own(ActorCriticPolicy):
        def _build_mlp_extractor(self) -> None:
            asked, self.net_arch = self.net_arch, [4]
            super()._build_mlp_extractor()
            self.asked = asked

    assert policy("small", cls=Own).asked == "small"


@pytest.mark.parametrize(
    ("observed", "part"),
    [
        (spaces.Tuple((BOX, BOX)), "observations of Tuple"),
        (spaces.Dict({"here": BOX, "words": spaces.Text(3)}), "observations 'words' of Text"),
        (spaces.Dict({"here": spaces.Dict({"there": BOX})}), "observations 'here' of Dict"),
    ],
)
def test_observations_that_are_no_arrays(observed: spaces.Space, part: str) -> None:
    with pytest.raises(ValueError, match=f"{part}: must be Box, Discrete"):
        policy(observed=observed)
