"""Where a policy lives, and how arrays come back from there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


def convolves(policy: nn.Module) -> bool:
    """Whether the policy has convolutions, whose arithmetic outweighs the launching of it."""
    return any(isinstance(module, nn.Conv2d) for module in policy.modules())


def on_gpu(device: torch.device) -> bool:
    """Whether kernels are launched rather than run."""
    return device.type == "cuda"


def zeros_for(device: torch.device, shape: tuple[int, ...], dtype: np.typing.DTypeLike | None) -> np.ndarray:
    """Zeros on the host, pinned for a GPU to copy."""
    zeros = np.zeros(shape, dtype)
    return torch.from_numpy(zeros).pin_memory().numpy() if on_gpu(device) else zeros


def to_host(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """Tensors as arrays, with one wait for the GPU rather than one for each."""
    copies = [tensor.detach().to("cpu", non_blocking=True) for tensor in tensors]
    if tensors[0].is_cuda:
        torch.cuda.current_stream(tensors[0].device).synchronize()
    return tuple(copy.numpy() for copy in copies)
