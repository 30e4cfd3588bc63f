"""The trunk in Numba: one call forward, one backward for both networks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .flat import FlatParameters
from .mlp import MlpSpec
from .numba_kernels import BLOCK, CHUNK, DELTAS, backward, forward
from .numba_tiles import LANES

ACTOR, CRITIC, BOTH = (0, 1), (1, 2), (0, 2)  # of the networks, the first and the one after the last
LONG = CHUNK * BLOCK  # rows of a long batch at a time, for the sake of cache and memory
NOTHING = np.empty((0, 1), np.float32)


class NumbaTrunk:
    """Executes a `Trunk` with Numba."""

    name = "numba"

    def __init__(self, spec: MlpSpec, flat: FlatParameters) -> None:
        widths = [
            [layers[0].in_features, *(layer.out_features for layer in layers)] for layers in (spec.actor, spec.critic)
        ]
        features = [sum(w[1:]) for w in widths]
        before = widths[0][0], widths[0][0] + features[0]
        self._networks = np.zeros((2, 4 + max(map(len, widths))), np.int64)
        for row, start, w, *rest in zip(self._networks, (0, flat.critic.start), widths, features, before, strict=True):
            row[: 4 + len(w)] = start, len(w) - 1, *rest, *w
        self._tanh = spec.activation == "tanh"
        self._array, self.gradient = flat.array, flat.gradient
        self.row_size = before[1] + features[1]  # numbers that are kept for each row of a batch
        self.param_size = widths[0][-1] * (1 if spec.log_std is None else 2)
        self._deltas = _aligned(DELTAS + CHUNK * BLOCK * max(features))
        self._deltas[LANES:DELTAS] = 1
        self._acting, self._training = _Buffers(self), _Buffers(self)

    def actor(self, observations: np.ndarray) -> np.ndarray:
        """Parameters [N, P]."""
        return self._forward(ACTOR, self._acting, observations, self._acting(len(observations)).rows)[0]

    def critic(self, observations: np.ndarray) -> np.ndarray:
        """Values [N]."""
        rows = np.arange(len(observations))
        parts = (rows[start : start + LONG] for start in range(0, len(rows), LONG))
        return np.concatenate(
            [self._forward(CRITIC, self._acting, observations, part)[1][:, 0].copy() for part in parts]
        )

    def forward(self, observations: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters [B, P] and values [B]."""
        parameters, values = self._forward(BOTH, self._training, observations, rows)
        return parameters, values[:, 0]

    def forward_critic(self, observations: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Values [B]."""
        return self._forward(CRITIC, self._training, observations, rows)[1][:, 0]

    def backward(self, d_parameters: np.ndarray | None, d_values: np.ndarray | None) -> None:
        """Fill the gradient."""
        first, last = int(d_parameters is None), 1 + (d_values is not None)
        d_actor = NOTHING if d_parameters is None else np.ascontiguousarray(d_parameters)
        d_critic = NOTHING if d_values is None else np.ascontiguousarray(d_values)[:, None]
        networks, work = self._networks, self._training.views.work
        backward(self._array, self.gradient, networks, first, last, self._tanh, d_actor, d_critic, work, self._deltas)

    def _forward(
        self, networks: tuple[int, int], buffers: _Buffers, observations: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        work, parameters, values, _ = buffers(len(rows))
        inputs = observations if observations.flags.c_contiguous else np.ascontiguousarray(observations)
        forward(self._array, self._networks, *networks, self._tanh, inputs, rows, work, parameters, values)
        return parameters, values


class _Views(NamedTuple):
    work: np.ndarray  # activations
    parameters: np.ndarray  # [n, P]
    values: np.ndarray  # [n, 1]
    rows: np.ndarray  # [n], 0, ..., n - 1


class _Buffers:
    """Activations and outputs of up to as many rows as were asked for."""

    def __init__(self, trunk: NumbaTrunk) -> None:
        self._row_size, self._param_size = trunk.row_size, trunk.param_size
        self.views = self._whole = self._made(LANES)

    def __call__(self, n: int) -> _Views:
        """Those of n rows."""
        if n != len(self.views.rows):
            if n > len(self._whole.rows):
                self._whole = self._made(-(-n // LANES) * LANES)
            work, *outputs = self._whole
            self.views = _Views(work, *(output[:n] for output in outputs))
        return self.views

    def _made(self, n: int) -> _Views:
        outputs = np.empty((n, self._param_size), np.float32), np.empty((n, 1), np.float32)
        return _Views(_aligned(n * self._row_size), *outputs, np.arange(n))


def _aligned(size: int) -> np.ndarray:
    """Zeros [size] that begin where a line of the cache begins."""
    whole = np.zeros(size + LANES, np.float32)
    start = -whole.ctypes.data // whole.itemsize % LANES
    return whole[start : start + size]
