"""Winograd's minimal filtering in Numba: what stands before and after the products of a convolution.

A stride s is a convolution with stride 1 of s s times the channels, so a kernel of k s x k s pixels has k x k taps,
2 x 2 or 3 x 3. Its outputs are made in tiles of m x m, m = 5 - k, each from 4 x 4 inputs: with both transformed, 16
products of a tile's channels by matrices stand for k k m m of them, 2.25 times as many:

    outputs = A^T [U * (B^T inputs B)] A,  U = G kernel G^T                      (Lavin & Gray 2016, arXiv 1509.09308)

Points 0, 1, -1 and infinity: B and A hold 0, 1 and -1 alone, so that little is lost to rounding. The gradients are the
transposed maps. Where the tiles do not add up to the image, the last one lies over its neighbour.

Arrays are flat, float32, channels last: images [N, H, W, C] (or bytes), outputs [N, h, w, O]; tiles [16, n tiles, K] of
n images from number `first` on, where the K channels of inputs are (row within s, column within s, C), of outputs O. A
`shape` is (H, W, C, s, h, w, O, m).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...jit import compiled
from .numba_tiles import at, integer, pointer, tile

LANES = 8  # 4 x 4 vectors of them fill the registers of AVX2
VECTOR = ir.VectorType(ir.FloatType(), LANES)
NOTHING = ir.Constant(VECTOR, None)
SIDE = 4  # of a tile of inputs

B = np.array([[1, 0, 0, 0], [0, 1, -1, -1], [-1, 1, 1, 0], [0, 0, 0, 1]])
A = {2: np.array([[1, 0], [1, 1], [1, -1], [0, 1]]), 3: np.array([[1, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 1]])}


def _emit(builder: Any, matrix: Any, n: Any, load: Callable[..., Any], store: Callable[..., None]) -> None:
    """Code for n vectors: store(v, i, j, sum_{a, b} matrix[i, a] matrix[j, b] load(v, a, b))."""
    rows, columns = (range(size) for size in matrix.shape)
    with cgutils.for_range(builder, n) as loop:
        halves = []
        for b in columns:
            column = [load(loop.index, a, b) for a in columns]
            halves.append([_sum(builder, matrix[i], column) for i in rows])
        for i in rows:
            for j in rows:
                store(loop.index, i, j, _sum(builder, matrix[j], [half[i] for half in halves]))


def _sum(builder: Any, signs: Any, vectors: list[Any]) -> Any:
    """Sum of the vectors by their signs: 1, of which there is one, -1, or 0 for none."""
    total, *others = [vector for sign, vector in zip(signs, vectors, strict=True) if sign > 0]
    for vector in others:
        total = builder.fadd(total, vector)
    for sign, vector in zip(signs, vectors, strict=True):
        total = builder.fsub(total, vector) if sign < 0 else total
    return total


def _vector(builder: Any, base: Any, v: Any, *terms: tuple[Any, Any]) -> Any:
    """Where vector v behind an element lies."""
    place = at(builder, base, (v, LANES), *terms)
    return builder.bitcast(place, ir.VectorType(place.type.pointee, LANES).as_pointer())


def _load(builder: Any, *where: Any) -> Any:
    """A vector of floats or bytes, as floats."""
    values = builder.load(_vector(builder, *where), align=1)
    return values if values.type == VECTOR else builder.uitofp(values, VECTOR)


@tile
def input_tile(context, out, out_at, matrix, x, x_at, x_i, x_j, n):
    """Tile = B^T x B, n vectors of channels; numbers of the tile lie `matrix` apart, rows and columns of x x_i, x_j."""
    i = types.int64

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, x = (pointer(context, builder, signature, args, k) for k in (0, 3))
        _, _, matrix, _, _, x_i, x_j, n = args
        _emit(
            builder, B.T, n,
            lambda v, a, b: _load(builder, x, v, (a, x_i), (b, x_j)),
            lambda v, i, j, total: builder.store(total, _vector(builder, out, v, (SIDE * i + j, matrix)), align=4),
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(out, i, i, x, i, i, i, i), generate


@tile
def add_to_inputs(context, out, out_at, out_i, out_j, x, x_at, matrix, n):
    """out += B x B^T, the transposed map of `input_tile`."""
    i = types.int64

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, x = (pointer(context, builder, signature, args, k) for k in (0, 4))
        _, _, out_i, out_j, _, _, matrix, n = args

        def store(v: Any, i: int, j: int, total: Any) -> None:
            place = _vector(builder, out, v, (i, out_i), (j, out_j))
            builder.store(builder.fadd(total, builder.load(place, align=4)), place, align=4)

        _emit(builder, B, n, lambda v, a, b: _load(builder, x, v, (SIDE * a + b, matrix)), store)
        return context.get_dummy_value()

    return types.void(out, i, i, i, x, i, i, i), generate


@tile
def output_tile(context, out, out_at, out_i, out_j, bias, bias_at, x, x_at, matrix, n, m):
    """out = max(A^T x A + bias, 0) for m x m outputs (literal), n vectors of features."""
    i, size = types.int64, m.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, bias, x = (pointer(context, builder, signature, args, k) for k in (0, 4, 6))
        _, _, out_i, out_j, _, _, _, _, matrix, n, _ = args

        def store(v: Any, i: int, j: int, total: Any) -> None:
            value = builder.fadd(total, _load(builder, bias, v))
            value = builder.select(builder.fcmp_ordered("<", value, NOTHING), NOTHING, value)  # NaN stays
            builder.store(value, _vector(builder, out, v, (i, out_i), (j, out_j)), align=4)

        _emit(builder, A[size].T, n, lambda v, a, b: _load(builder, x, v, (SIDE * a + b, matrix)), store)
        return context.get_dummy_value()

    return types.void(out, i, i, i, bias, i, x, i, i, i, m), generate


@tile
def output_gradient_tile(context, out, out_at, matrix, d, d_at, y, y_at, d_i, d_j, above, left, n, m):
    """Tile = A d A^T, the transposed map, of d where y is positive, leaving out `above` rows and `left` columns."""
    i, size = types.int64, m.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, d, y = (pointer(context, builder, signature, args, k) for k in (0, 3, 5))
        _, _, matrix, _, _, _, _, d_i, d_j, above, left, n, _ = args

        def load(v: Any, a: int, b: int) -> Any:
            value, output = (_load(builder, base, v, (a, d_i), (b, d_j)) for base in (d, y))
            value = builder.select(builder.fcmp_ordered("<=", output, NOTHING), NOTHING, value)
            own = builder.and_(*(builder.icmp_signed(">=", integer(k), skip) for k, skip in ((a, above), (b, left))))
            return builder.select(own, value, NOTHING)

        _emit(
            builder, A[size], n, load,
            lambda v, i, j, total: builder.store(total, _vector(builder, out, v, (SIDE * i + j, matrix)), align=4),
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(out, i, i, d, i, y, i, i, i, i, i, i, m), generate


@compiled()
def inputs_to_tiles(images, tiles, first, n, shape):
    """Fill tiles [16, n tiles, s s C]."""
    height, width, channels, s, h, w, _, m = shape
    line, row, all_channels = width * channels, s * channels, s * s * channels
    matrix, out = n * -(-h // m) * -(-w // m) * all_channels, 0
    for image in range(first * height, (first + n) * height, height):
        for y in range(0, h, m):
            for x in range(0, w, m):
                corner = (image + min(y, h - m) * s) * line + min(x, w - m) * row
                for i in range(s):
                    input_tile(tiles, out + i * row, matrix, images, corner + i * line, s * line, row, row // LANES)
                out += all_channels


@compiled()
def tiles_to_inputs(tiles, images, first, n, shape):
    """The transposed map: fill images, each pixel the sum of its places in tiles."""
    height, width, channels, s, h, w, _, m = shape
    line, row, all_channels = width * channels, s * channels, s * s * channels
    matrix, source = n * -(-h // m) * -(-w // m) * all_channels, 0
    images[first * height * line : (first + n) * height * line] = np.float32(0)
    for image in range(first * height, (first + n) * height, height):
        for y in range(0, h, m):
            for x in range(0, w, m):
                corner = (image + min(y, h - m) * s) * line + min(x, w - m) * row
                for i in range(s):
                    out = corner + i * line
                    add_to_inputs(images, out, s * line, row, tiles, source + i * row, matrix, row // LANES)
                source += all_channels


@compiled()
def tiles_to_outputs(tiles, bias, outputs, first, n, shape):
    """Fill outputs from tiles [16, n tiles, O] and bias [O], nothing below 0."""
    _, _, _, _, h, w, features, m = shape
    matrix, line, vectors = n * -(-h // m) * -(-w // m) * features, w * features, features // LANES
    source = 0
    for image in range(first * h, (first + n) * h, h):
        for y in range(0, h, m):
            for x in range(0, w, m):
                out = (image + min(y, h - m)) * line + min(x, w - m) * features
                if m == 2:
                    output_tile(outputs, out, line, features, bias, 0, tiles, source, matrix, vectors, 2)
                else:
                    output_tile(outputs, out, line, features, bias, 0, tiles, source, matrix, vectors, 3)
                source += features


@compiled()
def outputs_to_tiles(d_outputs, outputs, tiles, first, n, shape):
    """The transposed map: fill tiles [16, n tiles, O] from the derivatives by outputs that are positive."""
    _, _, _, _, h, w, features, m = shape
    matrix, line, vectors = n * -(-h // m) * -(-w // m) * features, w * features, features // LANES
    out = 0
    for image in range(first * h, (first + n) * h, h):
        for y in range(0, h, m):
            for x in range(0, w, m):
                above, left = max(y - (h - m), 0), max(x - (w - m), 0)
                p = (image + y - above) * line + (x - left) * features
                if m == 2:
                    output_gradient_tile(
                        tiles, out, matrix, d_outputs, p, outputs, p, line, features, above, left, vectors, 2
                    )
                else:
                    output_gradient_tile(
                        tiles, out, matrix, d_outputs, p, outputs, p, line, features, above, left, vectors, 3
                    )
                out += features
