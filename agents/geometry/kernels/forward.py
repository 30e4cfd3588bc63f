"""log π of the dense Tsallis softargmax: what `solvers.solve_dense` computes, in float32 and in one go.

Units: π = (1 + x + gap)^-β with β = 1 / (1 - alpha), gap = rate (max z - z), and x >= 0, which is 0 where one action
has all probability: nothing cancels, whatever alpha and however many actions. A logarithm is kept as a multiple of
log 2 and a small rest, so that the probability of one among thousands is summed without the rounding of its large
logarithm.

Few actions are transposed in blocks of `LANES` rows, so that LLVM vectorises over the rows, many along the row.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .elementary import (
    HALF,
    LANES,
    LN2_HIGH,
    LN2_REST,
    ONE,
    THIRD,
    TWO,
    ZERO,
    Array,
    Real,
    add,
    exp,
    exp_parts,
    gather,
    inline,
    log_parts,
    loop,
    loop_without_nan,
    scatter,
)

LONG = 64  # actions from which to vectorise along the row
STEPS = 40
TOLERANCE = 0.5 * 2.0 ** (-23 / 3)  # a step relative to 1 + x, of which log π neglects the cube
INFINITY, TINY = np.float32(math.inf), 1e-30


class Head(NamedTuple):
    """What the rows share; all float32."""

    beta: Real
    octave: Real  # β log 2 in 17 bits: exact in products with an exponent
    octave_rest: Real
    rate: Real
    rate_rest: Real  # >= 0: infinitely far below stays infinite
    ties: Real  # x where all logits are equal
    tolerance: Real


@loop
def log_softargmax_rows(logits: Array, alpha: float, scale: float, out: Array) -> None:
    """log π [B, A] of logits [B, A], float32; a logit of -inf gets -inf and keeps its share of the reference."""
    rows, count = logits.shape
    head = _head(count, alpha, scale)
    if count >= LONG:
        for row in range(rows):
            _solve_row(logits[row], head, out[row])
        return
    block, room = np.zeros((count, LANES), np.float32), np.empty((6, LANES), np.float32)
    for start in range(0, rows, LANES):
        gather(logits[start : start + LANES], block)
        _solve(block, head, room[0], room[1], room[2], room[3], room[4], room[5])
        scatter(block, out[start : start + LANES])


@loop
def log_softargmax_row(logits: Array, alpha: float, scale: float, out: Array) -> None:
    """`log_softargmax_rows` for one row [A]."""
    _solve_row(logits, _head(len(logits), alpha, scale), out)


@inline
def _head(count: int, alpha: float, scale: float) -> Head:
    rate, log_n = 1.0 - alpha, math.log(count)
    mantissa, exponent = math.frexp(math.log(2.0) / rate)
    octave = math.ldexp(math.floor(mantissa * 2.0**17), exponent - 17)
    slope = rate * math.exp(rate * log_n) / scale
    slope_high = np.float32(slope * (1.0 - 2.0**-24))
    return Head(
        np.float32(1.0 / rate),
        np.float32(octave),
        np.float32(math.log(2.0) / rate - octave),
        slope_high,
        np.float32(slope - slope_high),
        np.float32(max(math.expm1(rate * log_n), TINY)),  # for one action, without dividing zero by zero
        np.float32(min(TOLERANCE * math.sqrt(rate), 0.1 * rate)),
    )


@loop
def _solve(
    block: Array, head: Head, x: Array, step: Array, mass: Array, lost: Array, mass_1: Array, mass_2: Array
) -> None:
    """Logits [A, LANES] to log π in place; `x` to `mass_2` [LANES] are room to work in."""
    count = len(block)
    x[:], mass[:] = -INFINITY, ZERO
    for a in range(count):
        for j in range(LANES):
            x[j] = max(x[j], block[a, j])
    for a in range(count):
        for j in range(LANES):
            block[a, j] = x[j] - block[a, j]
            mass[j] += block[a, j]
    for j in range(LANES):
        x[j] = _start(mass[j] * head.rate / np.float32(count), count, head)
    for _ in range(STEPS):
        mass[:], lost[:], mass_1[:], mass_2[:] = ZERO, ZERO, ZERO, ZERO
        for a in range(count):
            for j in range(LANES):
                prob, r = _prob(_argument(block[a, j], x[j], head), head)
                mass[j], lost[j] = add(mass[j], lost[j], prob)
                mass_1[j] += prob * r
                mass_2[j] += prob * r * r
        any_far = False
        for j in range(LANES):
            step[j] = _step(mass[j] + lost[j], mass_1[j], mass_2[j], head)
            far = _far(step[j], x[j], head)
            x[j] = max(x[j] + step[j], ZERO) if far else x[j]
            any_far |= far
        if not any_far:
            break
    for a in range(count):
        for j in range(LANES):
            block[a, j] = _log_prob(block[a, j], x[j], step[j], head)


@loop
def _solve_row(logits: Array, head: Head, out: Array) -> None:
    """`_solve` for one row [A]."""
    count, best, total = len(logits), _maximum(logits), 0.0
    for a in range(count):
        total += np.float64(best - logits[a])
    x, step = _start(np.float32(total / count) * head.rate, count, head), ZERO
    for _ in range(STEPS):
        mass, mass_1, mass_2 = 0.0, ZERO, ZERO
        for a in range(count):
            prob, r = _prob(_argument(best - logits[a], x, head), head)
            mass += np.float64(prob)
            mass_1 += prob * r
            mass_2 += prob * r * r
        step = _step(np.float32(mass), mass_1, mass_2, head)
        if not _far(step, x, head):
            break
        x = max(x + step, ZERO)
    for a in range(count):
        out[a] = _log_prob(best - logits[a], x, step, head)


@loop_without_nan  # a maximum is not vectorised otherwise; the sums see a NaN, too
def _maximum(row: Array) -> Real:
    best = row[0]
    for a in range(1, len(row)):
        best = max(best, row[a])
    return best


@inline
def _start(mean_gap: Real, count: int, head: Head) -> Real:
    """As `_start` in `solvers`, where the reasons are."""
    if count <= 24:
        return head.ties / (ONE + mean_gap / head.ties)
    return max(ZERO, head.ties - mean_gap)


@inline
def _argument(below: Real, x: Real, head: Head) -> Real:
    """x + gap for a logit that far below the best."""
    return below * head.rate + (below * head.rate_rest + x)


@inline
def _log1p_parts(x: Real) -> tuple[Real, Real, Real]:
    """1 / (1 + x) and log(1 + x) as `log_parts`, x >= 0, with the digits that the sum loses."""
    y = ONE + x
    r = ONE / y
    k, rest = log_parts(y)
    return r, k, rest + (x - (y - ONE)) * r


@inline
def _log_prob_parts(k: Real, rest: Real, head: Head) -> tuple[Real, Real]:
    return -k * head.octave, -(k * head.octave_rest + rest * head.beta)


@inline
def _prob(x: Real, head: Head) -> tuple[Real, Real]:
    """π = (1 + x)^-β and 1 / (1 + x)."""
    if head.beta == TWO:
        r = ONE / (ONE + x)
        return r * r, r
    r, k, rest = _log1p_parts(x)
    high, rest = _log_prob_parts(k, rest, head)
    return exp(high, rest), r


@inline
def _log_prob(below: Real, x: Real, step: Real, head: Head) -> Real:
    """log π after the last step, to third order in it."""
    r, k, rest = _log1p_parts(_argument(below, x, head))
    z = step * r
    high, rest = _log_prob_parts(k, rest + z * (ONE - z * (HALF - z * THIRD)), head)
    return -INFINITY if below == INFINITY else high + rest


@inline
def _step(mass: Real, mass_1: Real, mass_2: Real, head: Head) -> Real:
    """Halley's step in x for (Σ π)^(-1/β) = 1, from Σ π (1 + x)^-k, k = 0, 1, 2."""
    slope = mass_1 / mass
    k, rest = log_parts(mass)
    power, p = exp_parts((k * LN2_HIGH + (k * LN2_REST + rest)) / head.beta, ZERO)
    excess = (power - ONE) + power * p
    bend = slope + HALF * (head.beta + ONE) * (slope - mass_2 / mass_1) * excess
    return excess / max(bend, HALF * slope)


@inline
def _far(step: Real, x: Real, head: Head) -> bool:
    return abs(step) > head.tolerance * (ONE + x)
