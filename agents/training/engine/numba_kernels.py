"""Two small networks forward and backward, in Numba.

Activations are kept in blocks of up to `BLOCK` rows of the batch, feature by feature: [features, lanes], with lanes the
rows of the block, filled up to whole vectors. So vectors run along the batch, and weights are read as they lie in the
flat buffer, whatever their shapes.

A network is a row of integers: where its parameters start in the flat buffer, its number of layers, its number of
features (outputs of all layers), those of what comes before it in `work`, and its widths from input to output.
"""

from __future__ import annotations

import numpy as np

from ...jit import compiled
from .numba_tiles import LANES, contract, multiply

BLOCK, CHUNK = 64, 4  # rows of a block; blocks of which a tile of a weight's gradient is summed at a time
DELTAS = LANES + BLOCK  # where the deltas begin in their array, after LANES zeros and BLOCK ones
ZERO, ONE, TWO, SATURATED = (np.float32(c) for c in (0, 1, 2, 9.1))  # tanh(9.1) rounds to 1
LOG2_E2, LN2_HIGH, LN2_LOW = (np.float32(c) for c in (2 / np.log(2), 0.693145751953125, np.log(2) - 0.693145751953125))
#: (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2, to 1e-8
E0, E1, E2, E3, E4 = (np.float32(c) for c in (0.50000001, 0.16666543, 0.04166628, 0.00836664, 0.00139465))


@compiled("contract")
def apply_tanh(y):
    """tanh y = m / (m + 2) with m = exp(2 |y|) - 1, to 1e-7; NaN stays NaN."""
    for i in range(len(y)):
        x = SATURATED if abs(y[i]) > SATURATED else abs(y[i])
        k = np.rint(x * LOG2_E2)
        r = (TWO * x - k * LN2_HIGH) - k * LN2_LOW
        power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2^k
        m = power * (r + r * r * (E0 + r * (E1 + r * (E2 + r * (E3 + r * E4))))) + (power - ONE)
        y[i] = np.copysign(m / (m + TWO), y[i])


@compiled("contract")
def apply_relu(y):
    """The positive part; NaN stays NaN."""
    for i in range(len(y)):
        y[i] = ZERO if y[i] < ZERO else y[i]


@compiled("contract")
def times_slope(d, y, tanh):
    """d *= the derivative of the activation where it is y."""
    if tanh:
        for i in range(len(d)):
            d[i] *= ONE - y[i] * y[i]
    else:
        for i in range(len(d)):
            d[i] = d[i] if y[i] > ZERO else ZERO


@compiled()
def forward(flat, networks, first, last, tanh, observations, rows, work, parameters, values):
    """Outputs [B, P], [B, 1] of networks first to last - 1 at rows [B] of observations; activations stay in `work`."""
    n, size = len(rows), observations.shape[1]
    padded = -(-n // LANES) * LANES
    for begin in range(0, n, BLOCK):
        lanes, inside = min(BLOCK, padded - begin), min(BLOCK, n - begin)
        for lane in range(lanes):
            for i in range(size):
                value = observations[rows[begin + lane], i] if lane < inside else ZERO
                work[begin * size + i * lanes + lane] = value
        for index in range(first, last):
            network, widths = networks[index], networks[index, 4:]
            weight, layers = network[0], network[1]
            x, y = begin * size, network[3] * padded + begin * network[2]
            for k in range(layers):
                bias = weight + widths[k] * widths[k + 1]
                multiply(work, y, flat, bias, 1, flat, weight, widths[k], 1, work, x, widths[k + 1], widths[k], lanes)
                x, y, weight = y, y + widths[k + 1] * lanes, bias + widths[k + 1]
                if k < layers - 1:
                    if tanh:
                        apply_tanh(work[x:y])
                    else:
                        apply_relu(work[x:y])
            outputs = values if index else parameters
            for i in range(outputs.shape[1]):
                for lane in range(inside):
                    own = i < widths[layers]  # else a column of log_std, which follows the layers
                    value = work[x + i * lanes + lane] if own else flat[weight + i - widths[layers]]
                    outputs[begin + lane, i] = value


@compiled()
def backward(flat, gradient, networks, first, last, tanh, d_parameters, d_values, work, deltas):
    """The gradient of networks first to last - 1 after `forward`."""
    for index in range(first, last):
        network, widths = networks[index], networks[index, 4:]
        features, before, d_outputs = network[2], network[3], d_values if index else d_parameters
        n = len(d_outputs)
        padded = -(-n // LANES) * LANES
        stop = network[0]
        for k in range(network[1]):
            stop += (widths[k] + 1) * widths[k + 1]
        size = widths[network[1]]
        gradient[network[0] : stop + d_outputs.shape[1] - size] = ZERO
        for i in range(size, d_outputs.shape[1]):
            total = 0.0
            for row in range(n):
                total += d_outputs[row, i]
            gradient[stop + i - size] = total
        for chunk in range(0, n, CHUNK * BLOCK):
            until = min(chunk + CHUNK * BLOCK, padded)
            for begin in range(chunk, until, BLOCK):
                lanes, inside = min(BLOCK, until - begin), min(BLOCK, n - begin)
                d = DELTAS + (begin - chunk) * features
                top = d + (features - size) * lanes
                for i in range(size):
                    for lane in range(lanes):
                        deltas[top + i * lanes + lane] = d_outputs[begin + lane, i] if lane < inside else ZERO
                _deltas(flat, network, stop, work, before * padded + begin * features, deltas, d, lanes, tanh)
            whole = (until - chunk) // BLOCK * BLOCK
            for begin, end in ((chunk, chunk + whole), (chunk + whole, until)):  # the last block has fewer lanes
                if begin < end:
                    lanes, d = min(BLOCK, end - begin), DELTAS + (begin - chunk) * features
                    y = before * padded + begin * features
                    _weights(gradient, network, work, begin * widths[0], y, deltas, d, lanes, (end - begin) // lanes)


@compiled()
def _deltas(flat, network, stop, work, y, deltas, d, lanes, tanh):
    """From the derivatives in the last features of a block, those in the inputs of all activations."""
    widths, feature, weight = network[4:], network[2], stop
    for k in range(network[1] - 1, 0, -1):
        rows, n = widths[k], widths[k + 1]
        feature -= n
        weight -= (rows + 1) * n
        below, above = d + (feature - rows) * lanes, d + feature * lanes
        multiply(deltas, below, deltas, 0, 0, flat, weight, 1, rows, deltas, above, rows, n, lanes)
        activations = y + (feature - rows) * lanes
        times_slope(deltas[below:above], work[activations : activations + rows * lanes], tanh)


@compiled()
def _weights(gradient, network, work, x, y, deltas, d, lanes, blocks):
    """Add what blocks of equal lanes contribute to the gradient of weights and biases; x, y, d: where they begin."""
    weight, features, widths, x_block = network[0], network[2], network[4:], network[4] * BLOCK
    for k in range(network[1]):
        columns, rows = widths[k], widths[k + 1]
        contract(gradient, weight, deltas, d, features * BLOCK, rows, work, x, x_block, columns, lanes, blocks)
        weight += rows * columns
        contract(gradient, weight, deltas, d, features * BLOCK, rows, deltas, LANES, 0, 1, lanes, blocks)
        x, x_block, weight = y, features * BLOCK, weight + rows
        y, d = y + rows * lanes, d + rows * lanes
