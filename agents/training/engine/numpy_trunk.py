"""The trunk in NumPy: matrix products into buffers that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
from torch import Tensor, nn

from .flat import FlatParameters
from .mlp import MlpSpec

CHUNK = 1024  # rows of a long batch at a time, for the sake of cache and memory


class NumpyTrunk:
    """Executes a `Trunk` with NumPy."""

    name = "numpy"

    def __init__(self, spec: MlpSpec, flat: FlatParameters) -> None:
        parameters: list[Tensor] = [*flat.parameters]
        weights, gradients = (
            {p: view.numpy() for p, view in zip(parameters, flat.views(buffer), strict=True)}
            for buffer in (flat.tensor, flat.gradient_tensor)
        )
        self.gradient = flat.gradient
        mlp = partial(NumpyMlp, activation=spec.activation, weights=weights, gradients=gradients)
        self._shared = mlp(spec.shared, activated=True)
        self._actor, self._critic = mlp(spec.actor), mlp(spec.critic)
        self._log_std = None if spec.log_std is None else (weights[spec.log_std], gradients[spec.log_std])
        self._buffer = lru_cache(maxsize=16)(_buffer)

    def actor(self, observations: np.ndarray) -> np.ndarray:
        """Parameters [N, P]."""
        return self._with_log_std("act", self._actor.forward("act", self._features("act", observations)))

    def critic(self, observations: np.ndarray) -> np.ndarray:
        """Values [N]."""
        chunks = (observations[start : start + CHUNK] for start in range(0, len(observations), CHUNK))
        parts = [self._critic.forward("act", self._features("act", chunk)).copy() for chunk in chunks]
        return np.concatenate(parts)[:, 0]

    def forward(self, observations: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters [B, P] and values [B]."""
        features = self._features("train", self._take(observations, rows))
        parameters = self._with_log_std("train", self._actor.forward("train", features))
        return parameters, self._critic.forward("train", features)[:, 0]

    def forward_critic(self, observations: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Values [B]."""
        features = self._features("train", self._take(observations, rows))
        return self._critic.forward("train", features)[:, 0]

    def backward(self, d_parameters: np.ndarray | None, d_values: np.ndarray | None) -> None:
        """Fill the gradient."""
        if d_parameters is not None:
            if self._log_std is not None:
                size = len(self._log_std[1])
                np.add.reduce(d_parameters[:, size:], 0, out=self._log_std[1])
                d_parameters = np.ascontiguousarray(d_parameters[:, :size])
            self._actor.backward(d_parameters)
        if d_values is not None:
            self._critic.backward(d_values[:, None])
        if self._shared.layers:
            given = ((self._actor, d_parameters), (self._critic, d_values))
            d_features = [network.d_inputs() for network, d in given if d is not None]
            self._shared.backward(np.add(*d_features) if len(d_features) == 2 else d_features[0])

    def _features(self, purpose: str, observations: np.ndarray) -> np.ndarray:
        return self._shared.forward(purpose, observations) if self._shared.layers else observations

    def _take(self, observations: np.ndarray, rows: np.ndarray) -> np.ndarray:
        batch = self._buffer("observations", len(rows), observations.shape[1])
        return observations.take(rows, 0, out=batch, mode="clip")  # other modes copy once more

    def _with_log_std(self, purpose: str, mean: np.ndarray) -> np.ndarray:
        if self._log_std is None:
            return mean
        size = mean.shape[1]
        parameters = self._buffer(f"{purpose} parameters", len(mean), 2 * size)
        parameters[:, :size], parameters[:, size:] = mean, self._log_std[0]
        return parameters


class NumpyMlp:
    """Linear layers on views of the flat buffer, the activation between them and, if `activated`, after the last."""

    def __init__(
        self,
        layers: Sequence[nn.Linear],
        activation: str,
        weights: dict[Tensor, np.ndarray],
        gradients: dict[Tensor, np.ndarray],
        activated: bool = False,
    ) -> None:
        self.layers = [(weights[layer.weight], weights[layer.bias]) for layer in layers]
        self._gradients = [(gradients[layer.weight], gradients[layer.bias]) for layer in layers]
        self._tanh, self._activated = activation == "tanh", activated
        self._buffers = lru_cache(maxsize=16)(self._make_buffers)
        self._ones = lru_cache(maxsize=16)(partial(np.ones, dtype=np.float32))
        self._activations: list[np.ndarray] = []  # input, and output of each layer, of the last forward for training

    @np.errstate(invalid="ignore")  # OpenBLAS computes on what lies beyond odd ends; a NaN inside is found by the norm
    def forward(self, purpose: str, inputs: np.ndarray) -> np.ndarray:
        """Outputs [B, A] for inputs [B, D]; with the purpose "train" remembered for `backward`."""
        outputs = self._buffers(purpose, len(inputs))
        x = inputs
        for (weight, bias), y in zip(self.layers, outputs, strict=True):
            np.dot(x, weight.T, out=y)
            y += bias
            if self._activated or y is not outputs[-1]:
                np.tanh(y, out=y) if self._tanh else np.maximum(y, 0, out=y)
            x = y
        if purpose == "train":
            self._activations = [inputs, *outputs]
        return x

    @np.errstate(invalid="ignore")
    def backward(self, d_outputs: np.ndarray) -> None:
        """Fill the gradients from d_outputs [B, A]."""
        d = d_outputs * self._slope(self._activations[-1]) if self._activated else d_outputs
        deltas, ones = self._buffers("deltas", len(d)), self._ones(len(d))
        for i in reversed(range(len(self.layers))):
            x, (d_weight, d_bias) = self._activations[i], self._gradients[i]
            np.dot(d.T, x, out=d_weight)
            np.dot(ones, d, out=d_bias)  # more exact than a sum over rows, and faster
            if i:
                d = np.dot(d, self.layers[i][0], out=deltas[i - 1])
                d *= self._slope(x)
        self._d_first = d

    def d_inputs(self) -> np.ndarray:
        """The derivative in the inputs [B, D], after `backward`."""
        return np.dot(self._d_first, self.layers[0][0])

    def _slope(self, y: np.ndarray) -> np.ndarray:
        """Derivative of the activation where it is y; overwrites y."""
        if self._tanh:
            np.multiply(y, y, out=y)
            return np.subtract(1, y, out=y)
        return np.greater(y, 0, out=y)

    def _make_buffers(self, purpose: str, n: int) -> list[np.ndarray]:
        return [np.empty((n, len(bias)), np.float32) for _, bias in self.layers]


def _buffer(purpose: str, *shape: int) -> np.ndarray:
    """An array [shape], one for each purpose, since the one is still in use while the other is filled."""
    return np.empty(shape, np.float32)
