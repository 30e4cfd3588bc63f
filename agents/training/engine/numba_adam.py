"""The arithmetic of Adam in one pass over the buffers, in Numba."""

from __future__ import annotations

import numpy as np

from ...jit import compiled


@compiled("contract")
def adam(parameters, gradient, exp_avg, exp_avg_sq, start, stop, scale, beta1, beta2, step_size, root, eps):
    """As `NumpyAdam`, from start to stop."""
    scale, step_size, root, eps = np.float32(scale), np.float32(step_size), np.float32(1 / root), np.float32(eps)
    towards, decay, fresh = np.float32(1 - beta1), np.float32(beta2), np.float32(1 - beta2)
    p, gradient = parameters[start:stop], gradient[start:stop]
    exp_avg, exp_avg_sq = exp_avg[start:stop], exp_avg_sq[start:stop]
    for i in range(len(p)):  # over slices: an index that may be negative keeps LLVM from vectorising
        g = gradient[i] * scale
        m = exp_avg[i] + (g - exp_avg[i]) * towards
        v = exp_avg_sq[i] * decay + g * g * fresh
        exp_avg[i], exp_avg_sq[i] = m, v
        p[i] -= step_size * m / (np.sqrt(v) * root + eps)
