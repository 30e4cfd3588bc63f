"""What the row loops call: exponentials and logarithms that LLVM can vectorise, and arrays on the stack.

libm's functions are scalar; these are polynomials without branches, to one unit in the last place of float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# No reassociation: compensated sums would be none.
_inline = njit(fastmath={"contract", "nsz"}, error_model="numpy", forceinline=True)

ZERO, HALF, ONE, INFINITY, NAN = (np.float32(c) for c in (0.0, 0.5, 1.0, math.inf, math.nan))
LOG2_E, LN2_HIGH = np.float32(math.log2(math.e)), np.float32(0.693359375)  # 9 bits: exact in products with an exponent
LN2_LOW = np.float32(math.log(2.0) - 0.693359375)
LOWEST, HIGHEST = np.float32(-87.0), np.float32(88.3)  # arguments of exp for which 2^n is a normal number
SMALLEST, TO_NORMAL = np.float32(2.0**-126), np.float32(2.0**23)
SQRT_HALF, FRACTION_BITS, BIAS = np.int32(0x3F3504F3), np.int32(23), np.int32(127)
DENORMAL_EXPONENT = np.float32(23.0)
E0, E1, E2, E3, E4 = (np.float32(1.0 / math.factorial(k)) for k in range(3, 8))
L0, L1, L2 = (np.float32(c) for c in (3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1))
L3, L4, L5 = (np.float32(c) for c in (-1.6668057665e-1, 1.4249322787e-1, -1.2420140846e-1))
L6, L7, L8 = (np.float32(c) for c in (1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2))


@_inline
def _exp_parts(x):
    """(s, p) with exp x = s + s p and s a power of two."""
    n = np.floor(x * LOG2_E + HALF)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = E0 + r * (E1 + r * (E2 + r * (E3 + r * E4)))
    scale = np.int32(np.int32(np.int32(n) + BIAS) << FRACTION_BITS).view(np.float32)
    return scale, r + r * r * (HALF + r * p)


@_inline
def _bounded(x):
    x = LOWEST if x < LOWEST else x
    return HIGHEST if x > HIGHEST else x


@_inline
def exp(x):
    """0 below -87, infinity above 88.3."""
    scale, p = _exp_parts(_bounded(x))
    value = INFINITY if x > HIGHEST else scale + scale * p
    return ZERO if x < LOWEST else value


@_inline
def expm1(x):
    """Exact near 0."""
    scale, p = _exp_parts(_bounded(x))
    return INFINITY if x > HIGHEST else scale * p + (scale - ONE)


@_inline
def log(x):
    """-infinity at 0, NaN below."""
    small = x < SMALLEST
    y = np.float32(x * TO_NORMAL if small else x)
    bits = y.view(np.int32)
    exponent = np.int32(np.int32(bits - SQRT_HALF) >> FRACTION_BITS)
    f = np.int32(bits - np.int32(exponent << FRACTION_BITS)).view(np.float32) - ONE
    square, k = f * f, np.float32(exponent) - (DENORMAL_EXPONENT if small else ZERO)
    fit = L0 + f * (L1 + f * (L2 + f * (L3 + f * (L4 + f * (L5 + f * (L6 + f * (L7 + f * L8)))))))
    value = k * LN2_HIGH + (f + (f * square * fit + (k * LN2_LOW - HALF * square)))
    value = value if x < INFINITY else x
    return value if x > ZERO else (-INFINITY if x == ZERO else NAN)


@_inline
def log1p(x):
    """Exact near 0."""
    y = ONE + x
    lost = x - (y - ONE)  # to the rounding of the sum
    return log(y) + (lost / y if y > ZERO and y < INFINITY else ZERO)


def _on_stack(dtype: Any) -> Any:
    @intrinsic(prefer_literal=True)
    def pointer(context, count):
        if not isinstance(count, types.IntegerLiteral):
            return None

        def generate(context, builder, signature, args):
            return cgutils.alloca_once(builder, context.get_value_type(dtype), size=count.literal_value)

        return types.CPointer(dtype)(count), generate

    return pointer


# Distinct arrays on the stack are known not to overlap, so that loops over them vectorise.
float32_pointer, float64_pointer = _on_stack(types.float32), _on_stack(types.float64)
__all__ = ["carray", "exp", "expm1", "float32_pointer", "float64_pointer", "log", "log1p"]
