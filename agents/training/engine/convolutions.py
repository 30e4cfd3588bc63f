"""Which convolutions the torch engine runs on, and how it puts frames together."""

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
    There Numba also puts the frames of a stack together.
    """
    policies: list[nn.Module | None] = [model.policy, model._reference.policy]
    networks = [m for policy in policies if policy for m in policy.modules() if isinstance(m, RawNatureCNN)]
    compiles = bool(networks) and model.engine == "auto" and may_compile and model.device.type == "cpu"
    compiles = compiles and executor_named("auto") == "numba"
    model.rollout_buffer.interleave = None
    if compiles:
        from .numba_frames import interleave

        model.rollout_buffer.interleave = interleave
    for network in networks:
        network.convolve = convolve_relu
        if compiles and network.is_plain and torch.get_num_threads() == 1:
            from .winograd import winograd_relu

            network.convolve = winograd_relu
    return "convolutions by numba" if any(network.convolve is not convolve_relu for network in networks) else ""
