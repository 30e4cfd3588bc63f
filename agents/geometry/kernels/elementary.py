"""What the kernels are made of: elementary functions that LLVM vectorises, blocks of transposed rows.

libm's logarithm and exponential are scalar calls; these are polynomials, Chebyshev fits with errors below 2e-8.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...jit import compiled

Array = NDArray[np.float32]
Real = Any  # a float32, of one element or of a vector of them

LANES = 64  # rows per block
ZERO, THIRD, HALF, ONE, TWO = (np.float32(c) for c in (0.0, 1 / 3, 0.5, 1.0, 2.0))
LOG2_E = np.float32(math.log2(math.e))
LN2_HIGH = np.float32(0.693359375)  # 9 bits: exact in products with an exponent
LN2_REST = np.float32(math.log(2.0) - 0.693359375)
UNDERFLOW = np.float32(-87.0)  # log of what becomes an exact zero
SQRT_HALF, FRACTION_BITS, EXPONENT_BIAS = np.int32(0x3F3504F3), np.int32(23), np.int32(127)

# (log(1 + f) - f + f²/2) / f³ for f from √½ - 1 to √2 - 1, and (e^f - 1) / f for |f| up to log √2
L0, L1, L2, L3 = (np.float32(c) for c in (0.3333333073, -0.2500030642, 0.2000104510, -0.1664128146))
L4, L5, L6, L7 = (np.float32(c) for c in (0.1421449592, -0.1299818377, 0.1262231986, -0.0790274378))
E0, E1, E2, E3, E4, E5 = (
    np.float32(c) for c in (1.000000011, 0.5000000013, 0.166665052, 0.04166646493, 0.008369155668, 0.001393365)
)


inline = compiled("contract", forceinline=True)  # literal sums: reassociated, compensated ones would be none
loop = compiled("contract", "reassoc")
loop_without_nan = compiled("nnan", "nsz", "reassoc")


@inline
def log_parts(y: Real) -> tuple[Real, Real]:
    """(k, l) with log y = k log 2 + l, |l| <= log √2, of a positive normal number y."""
    bits = np.float32(y).view(np.int32)
    exponent = np.int32(np.int32(bits - SQRT_HALF) >> FRACTION_BITS)
    f = np.int32(bits - np.int32(exponent << FRACTION_BITS)).view(np.float32) - ONE
    square = f * f
    fit = L0 + f * (L1 + f * (L2 + f * (L3 + f * (L4 + f * (L5 + f * (L6 + f * L7))))))
    return np.float32(exponent), f + square * (f * fit - HALF)


@inline
def exp_parts(high: Real, rest: Real) -> tuple[Real, Real]:
    """(s, p) with e^(high + rest) = s + s p and s a power of two."""
    k = np.floor((high + rest) * LOG2_E + HALF)
    f = ((high - k * LN2_HIGH) - k * LN2_REST) + rest
    power = np.int32(np.int32(np.int32(k) + EXPONENT_BIAS) << FRACTION_BITS).view(np.float32)
    return power, f * (E0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * E5)))))


@inline
def exp(high: Real, rest: Real) -> Real:
    """e^(high + rest), at most e^87."""
    power, p = exp_parts(high, rest)
    return power + power * p if high + rest > UNDERFLOW else ZERO


@inline
def add(total: Real, lost: Real, term: Real) -> tuple[Real, Real]:
    """total + term, and `lost` plus what the rounding of that sum loses."""
    rounded = total + term
    return rounded, lost + (term - (rounded - total))


@loop
def gather(rows: Array, block: Array) -> None:
    for a in range(len(block)):
        for j in range(len(rows)):
            block[a, j] = rows[j, a]


@loop
def scatter(block: Array, rows: Array) -> None:
    for j in range(len(rows)):
        for a in range(len(block)):
            rows[j, a] = block[a, j]
