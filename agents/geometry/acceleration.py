"""Whether the Numba kernels compute in torch's place, which they do wherever they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

_enabled = True


@contextmanager
def use_kernels(enabled: bool) -> Iterator[None]:
    """Whether CPU code in the `with` block, of any thread, may use the Numba kernels; it may by default.

    with use_kernels(False):  # torch alone
        log_probs = f_log_softargmax(logits, Tsallis(0.5))
    """
    global _enabled
    before, _enabled = _enabled, enabled
    try:
        yield
    finally:
        _enabled = before


def kernels_for(logits: Tensor, log_q: Tensor | None, form: tuple[float, float] | None) -> ModuleType | None:
    """The kernels if they cover the case: Tsallis with alpha < 1, uniform reference, float32, CPU, eager, not empty."""
    if torch.compiler.is_compiling() or not _enabled or log_q is not None or form is None or form[0] >= 1.0:
        return None
    return _load() if logits.dtype == torch.float32 and logits.is_cpu and logits.numel() else None


def run(kernel: Callable, alpha: float, scale: float, *tensors: Tensor) -> Tensor:
    """What a kernel makes of tensors [..., A], each read as rows [B, A]; a new tensor of their shape."""
    shape = tensors[0].shape
    arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
    if len(shape) != 2:
        arrays = [array.reshape(-1, shape[-1]) for array in arrays]
    out = np.empty_like(arrays[0])
    kernel(*arrays, alpha, scale, out)
    return torch.from_numpy(out if len(shape) == 2 else out.reshape(shape))


@lru_cache(maxsize=1)
def _load() -> ModuleType | None:
    """The kernels, compiled or from the cache on disk; None without a Numba that works here."""
    try:
        from . import kernels

        if not hasattr(kernels.log_softargmax_rows, "signatures"):  # NUMBA_DISABLE_JIT: it would run in Python
            return None
        probe = np.zeros((1, 2), np.float32)
        kernels.log_softargmax_rows(probe, 0.5, 1.0, probe)
        kernels.log_softargmax_vjp_rows(probe, probe, 0.5, 1.0, probe)
    except Exception:  # whatever a missing or broken Numba raises: torch computes the same
        return None
    return kernels
