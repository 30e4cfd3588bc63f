"""Adam over flat buffers: all parameters of a part in one step, on the state of a torch.optim.Adam."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..steps import checked_norm
from .flat import FlatParameters, same_memory
from .trunk import executor_named

#: In place: (parameters, gradient, exp_avg, exp_avg_sq, start, stop, scale, beta1, beta2, step_size, root, eps).
AdamKernel = Callable[..., None]


class FlatAdam:
    """The steps of a plain torch.optim.Adam taken all at once; its state are views of flat buffers.

    The optimiser itself goes on working on the same state, so either may take the next step, and checkpoints are those
    of torch. What it has not begun yet begins here as it does there: at the first step.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters, executor: str = "auto") -> None:
        self.optimizer, self.flat = optimizer, flat
        steps = torch.zeros(len(flat.parameters), dtype=torch.float32)
        exp_avg, exp_avg_sq = torch.zeros(2, len(flat.array), dtype=torch.float32)
        pieces = zip(steps, flat.views(exp_avg), flat.views(exp_avg_sq), strict=True)
        self._views = [dict(zip(("step", "exp_avg", "exp_avg_sq"), piece, strict=True)) for piece in pieces]
        self._steps, self._exp_avg, self._exp_avg_sq = steps.numpy(), exp_avg.numpy(), exp_avg_sq.numpy()
        self._kernel = adam_kernel(executor, len(flat.array))
        self._runs: dict[tuple[int, int], list[tuple[slice, int, int]]] = {}
        self.mend()

    @property
    def learning_rate(self) -> float:
        """Of the optimiser's only group."""
        return float(self._group["lr"])

    @property
    def _group(self) -> dict[str, Any]:
        return self.optimizer.param_groups[0]

    def check(self) -> bool:
        """Whether parameters and state, as far as it has begun, are still the views they were made."""
        return self.flat.check() and all(map(self._intact, self.flat.parameters, self._views))

    def mend(self) -> bool:
        """Make views again of what is none, with its values; whether there was something. Before each update."""
        self._runs.clear()
        intact = self.check()
        if not intact:
            self.flat.mend()
            for parameter, views in zip(self.flat.parameters, self._views, strict=True):
                state = self.optimizer.state.get(parameter) or dict.fromkeys(views, torch.tensor(0.0))
                for name, view in views.items():
                    view.copy_(torch.as_tensor(state[name]))
                if parameter in self.optimizer.state:
                    self.optimizer.state[parameter] = dict(views)
        return not intact

    def fused_step(self, part: slice, learning_rate: float, max_grad_norm: float | None, loss: float) -> float:
        """One step of a part of the parameters along its gradient, clipped; the norm before clipping.

        Raises:
            FloatingPointError: if the norm is not finite, naming the loss; nothing has moved then.
        """
        gradient = self.flat.gradient[part]
        with np.errstate(over="ignore"):
            norm = math.sqrt(np.dot(gradient, gradient))
        if not math.isfinite(norm):  # or only its square, in single precision
            norm = checked_norm([self.flat.gradient_tensor[part]], torch.tensor(loss)).item()
        scale = 1.0 if max_grad_norm is None else min(1.0, max_grad_norm / (norm + 1e-6))
        group, buffers = self._group, (self.flat.array, self.flat.gradient, self._exp_avg, self._exp_avg_sq)
        beta1, beta2 = group["betas"]
        for parameters, start, stop in self._runs_of(part):
            self._steps[parameters] += 1
            step = float(self._steps[parameters.start])
            step_size, root = learning_rate / (1 - beta1**step), math.sqrt(1 - beta2**step)
            self._kernel(*buffers, start, stop, scale, beta1, beta2, step_size, root, group["eps"])
        return norm

    def _runs_of(self, part: slice) -> list[tuple[slice, int, int]]:
        """Neighbouring parameters that have taken equally many steps, of which there may be several after a load.

        (slice of parameters, start and stop in the buffer); found once per update.
        """
        if part != self.flat.all:
            self._runs.pop((0, self.flat.all.stop), None)  # the parts drift apart
        key = part.start, part.stop
        if key not in self._runs:
            self._runs[key] = self._find_runs(*(self.flat.offsets.index(offset) for offset in key))
        return self._runs[key]

    def _find_runs(self, first: int, last: int) -> list[tuple[slice, int, int]]:
        for parameter, views in zip(self.flat.parameters[first:last], self._views[first:last], strict=True):
            if not self.optimizer.state.get(parameter):
                self.optimizer.state[parameter] = dict(views)
        changes = [i for i in range(first + 1, last) if self._steps[i] != self._steps[i - 1]]
        pairs = itertools.pairwise([first, *changes, last])
        return [(slice(i, j), self.flat.offsets[i], self.flat.offsets[j]) for i, j in pairs]

    def _intact(self, parameter: nn.Parameter, views: dict[str, Tensor]) -> bool:
        state = self.optimizer.state.get(parameter)
        if not state:
            return not views["step"]
        return all(isinstance(state[name], Tensor) and same_memory(state[name], view) for name, view in views.items())


def adam_kernel(executor: str, size: int) -> AdamKernel:
    """The arithmetic of a step for buffers [size], by Numba or NumPy."""
    if executor_named(executor) == "numba":
        from .numba_adam import adam

        return adam
    return NumpyAdam(size)


class NumpyAdam:
    """The arithmetic of a step in whole-array operations, in the order of torch.optim.Adam's."""

    def __init__(self, size: int) -> None:
        self._scratch = np.empty((2, size), np.float32)

    def __call__(
        self,
        parameters: np.ndarray,
        gradient: np.ndarray,
        exp_avg: np.ndarray,
        exp_avg_sq: np.ndarray,
        start: int,
        stop: int,
        scale: float,
        beta1: float,
        beta2: float,
        step_size: float,
        root: float,
        eps: float,
    ) -> None:
        """m <- lerp(m, g, 1 - beta1), v <- beta2 v + (1 - beta2) g^2, p <- p - step_size m / (sqrt(v) / root + eps)."""
        g, work = self._scratch[:, start:stop]
        m, v, p = (buffer[start:stop] for buffer in (exp_avg, exp_avg_sq, parameters))
        np.multiply(gradient[start:stop], scale, out=g)
        np.multiply(g, g, out=work)
        work *= 1 - beta2
        v *= beta2
        v += work
        g -= m
        g *= 1 - beta1
        m += g
        np.sqrt(v, out=work)
        work /= root
        work += eps
        np.divide(m, work, out=work)
        work *= step_size
        p -= work
