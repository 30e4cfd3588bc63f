"""Which convolutions the torch engine runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ...policies.images import RawNatureCNN, convolve_relu
from .trunk import executor_named

if TYPE_CHECKING:
    from ..on_policy import OnPolicy


def choose_convolutions(model: OnPolicy, may_compile: bool) -> str:
    """Give the model's NatureCNNs their convolutions; where these are not torch's, what they are, in words.

    Winograd's, by Numba, need one thread of a CPU and float32; engine="auto" takes them where compiling them pays.
    """
    policies: list[nn.Module | None] = [model.policy, model._reference.policy]
    networks = [m for policy in policies if policy for m in policy.modules() if isinstance(m, RawNatureCNN)]
    one_thread = model.device.type == "cpu" and torch.get_num_threads() == 1
    fast = (
        bool(networks) and model.engine == "auto" and may_compile and one_thread and executor_named("auto") == "numba"
    )
    for network in networks:
        network.convolve = convolve_relu
        if fast and network.is_plain:
            from .winograd import winograd_relu

            network.convolve = winograd_relu
    return "convolutions by numba" if any(network.convolve is not convolve_relu for network in networks) else ""
