"""Products of small matrices tile by tile in vector registers, in Numba.

Plain loops would leave the sums in memory, and a BLAS is made for larger matrices. The tiles give vectors to LLVM,
which makes of them what the processor has. Matrices are float32, row by row in flat arrays: an array and the offset of
the first element. Rows that run along the batch have a multiple of `LANES` elements, their `lanes`.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...jit import compiled

LANES = 16  # of a vector
#: Vectors side by side in a tile: with four rows they fill the registers.
WIDE = 4 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 1
STRIP = 16  # rows of a matrix that should stay in the nearest cache
VECTOR = ir.VectorType(ir.FloatType(), LANES)
tile: Any = intrinsic(prefer_literal=True)


@tile
def multiply_tile(
    context,
    out,
    out_at,
    out_row,
    start,
    start_at,
    start_row,
    a,
    a_at,
    a_row,
    a_column,
    b,
    b_at,
    b_row,
    n,
    rows,
    vectors,
):
    """out[r, :] = start[r] + sum_{k < n} a[r, k] b[k, :] for `rows` rows of `vectors` vectors (literal numbers)."""
    i, n_rows, n_vectors = types.int64, rows.literal_value, vectors.literal_value
    signature = types.void(out, i, i, start, i, i, a, i, i, i, b, i, i, i, rows, vectors)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, start, a, b = (pointer(context, builder, signature, args, j) for j in (0, 3, 6, 10))
        out_row, start_row, a_row, a_column, b_row, n = (args[j] for j in (2, 5, 8, 9, 12, 13))
        sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(n_vectors)] for _ in range(n_rows)]
        for r, row in enumerate(sums):
            value = _splat(builder, builder.load(at(builder, start, (r, start_row))))
            for slot in row:
                builder.store(value, slot)
        with cgutils.for_range(builder, n) as loop:
            vectors = [_load(builder, b, (loop.index, b_row), (v, LANES)) for v in range(n_vectors)]
            for r, row in enumerate(sums):
                factor = _splat(builder, builder.load(at(builder, a, (r, a_row), (loop.index, a_column))))
                for slot, vector in zip(row, vectors, strict=True):
                    _accumulate(builder, slot, factor, vector)
        for r, row in enumerate(sums):
            for v, slot in enumerate(row):
                place = builder.bitcast(at(builder, out, (r, out_row), (v, LANES)), VECTOR.as_pointer())
                builder.store(builder.load(slot), place, align=4)
        return context.get_dummy_value()

    return signature, generate


@tile
def contract_tile(context, out, out_at, out_row, a, a_at, a_row, a_block, b, b_at, b_row, b_block, n, rows, columns):
    """out[r, c] += sum_l a[r, l] b[c, l] over n vectors, four to a block; `rows`, `columns` literal, at most 4."""
    i, n_rows, n_columns = types.int64, rows.literal_value, columns.literal_value
    signature = types.void(out, i, i, a, i, i, i, b, i, i, i, i, rows, columns)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, a, b = (pointer(context, builder, signature, args, j) for j in (0, 3, 7))
        out_row, a_row, a_block, b_row, b_block, n = (args[j] for j in (2, 5, 6, 9, 10, 11))
        zero = ir.Constant(VECTOR, None)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(n_rows * n_columns)]
        with cgutils.for_range(builder, n) as loop:
            block, lane = (
                builder.lshr(loop.index, integer(2)),
                builder.shl(builder.and_(loop.index, integer(3)), integer(4)),
            )
            left = [_load(builder, a, (block, a_block), (r, a_row), (lane, 1)) for r in range(n_rows)]
            right = [_load(builder, b, (block, b_block), (c, b_row), (lane, 1)) for c in range(n_columns)]
            for slot, (x, y) in zip(sums, ((x, y) for x in left for y in right), strict=True):
                _accumulate(builder, slot, x, y)
        vectors = [builder.load(slot) for slot in sums] + [zero] * (LANES - len(sums))
        even, odd = (_mask(range(parity, 2 * LANES, 2)) for parity in (0, 1))
        while len(vectors) > 1:  # sums of neighbours, until lane i is the sum of vector i
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [builder.fadd(*(builder.shuffle_vector(x, y, m) for m in (even, odd))) for x, y in pairs]
        for index in range(len(sums)):
            place = at(builder, out, (index // n_columns, out_row), (index % n_columns, 1))
            builder.store(builder.fadd(builder.load(place), builder.extract_element(vectors[0], integer(index))), place)
        return context.get_dummy_value()

    return signature, generate


def integer(value: Any) -> Any:
    return ir.IntType(64)(value) if isinstance(value, int) else value


def _mask(indices: Any) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(indices))


def pointer(context: Any, builder: Any, signature: Any, args: Any, j: int) -> Any:
    """Argument j, an array, at the offset that is argument j + 1."""
    return builder.gep(context.make_array(signature.args[j])(context, builder, args[j]).data, [args[j + 1]])


def at(builder: Any, base: Any, *terms: tuple[Any, Any]) -> Any:
    """The element at a sum of products."""
    for x, y in terms:
        base = builder.gep(base, [builder.mul(integer(x), integer(y))])
    return base


def _load(builder: Any, base: Any, *terms: tuple[Any, Any]) -> Any:
    return builder.load(builder.bitcast(at(builder, base, *terms), VECTOR.as_pointer()), align=4)


def _splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, integer(0)), undefined, _mask([0] * LANES))


def _accumulate(builder: Any, slot: Any, x: Any, y: Any) -> None:
    """slot += x y, in one instruction where the processor has it."""
    product = builder.fmul(x, y, flags=("contract",))
    builder.store(builder.fadd(product, builder.load(slot), flags=("contract",)), slot)


@compiled()
def multiply(out, out_at, start, start_at, start_row, a, a_at, a_row, a_column, b, b_at, rows, n, lanes):
    """out [rows, lanes] = start [rows] + a [rows, n] b [n, lanes]."""
    lane = 0
    while lane < lanes:
        wide = lane + WIDE * LANES <= lanes
        r = 0
        while r < rows:
            four = r + 4 <= rows
            o, s, x, y = out_at + r * lanes + lane, start_at + r * start_row, a_at + r * a_row, b_at + lane
            if four and wide:
                multiply_tile(out, o, lanes, start, s, start_row, a, x, a_row, a_column, b, y, lanes, n, 4, WIDE)
            elif four:
                multiply_tile(out, o, lanes, start, s, start_row, a, x, a_row, a_column, b, y, lanes, n, 4, 1)
            elif wide:
                multiply_tile(out, o, lanes, start, s, start_row, a, x, a_row, a_column, b, y, lanes, n, 1, WIDE)
            else:
                multiply_tile(out, o, lanes, start, s, start_row, a, x, a_row, a_column, b, y, lanes, n, 1, 1)
            r += 4 if four else 1
        lane += WIDE * LANES if wide else LANES


@compiled()
def contract(out, out_at, a, a_at, a_block, rows, b, b_at, b_block, columns, lanes, blocks):
    """out [rows, columns] += a b^T for a [rows, lanes] and b [columns, lanes], summed over blocks."""
    n = blocks * lanes // LANES
    for strip in range(0, columns, STRIP):
        stop = min(strip + STRIP, columns)
        r = 0
        while r < rows:
            c, tall, x = strip, r + 4 <= rows, a_at + r * lanes
            while c < stop:
                o, y, broad = out_at + r * columns + c, b_at + c * lanes, c + 4 <= stop
                if tall and broad:
                    contract_tile(out, o, columns, a, x, lanes, a_block, b, y, lanes, b_block, n, 4, 4)
                elif tall:
                    contract_tile(out, o, columns, a, x, lanes, a_block, b, y, lanes, b_block, n, 4, 1)
                elif broad:
                    contract_tile(out, o, columns, a, x, lanes, a_block, b, y, lanes, b_block, n, 1, 4)
                else:
                    contract_tile(out, o, columns, a, x, lanes, a_block, b, y, lanes, b_block, n, 1, 1)
                c += 4 if broad else 1
            r += 4 if tall else 1
