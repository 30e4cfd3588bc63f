"""Four frames as one image whose channels come last, in Numba: a pixel is one number of 32 bits."""

from __future__ import annotations

import numpy as np

from ...jit import compiled

BITS = tuple(np.uint32(8 * channel) for channel in range(4))


@compiled()
def interleave(frames, stacks, images):
    """images [B, P] uint32: the bytes of the frames [F, P] that stacks [B, 4] name, the first one's lowest."""
    for row in range(len(stacks)):
        image = images[row]
        a, b, c, d = frames[stacks[row, 0]], frames[stacks[row, 1]], frames[stacks[row, 2]], frames[stacks[row, 3]]
        for pixel in range(len(image)):
            lower = np.uint32(a[pixel]) | np.uint32(b[pixel]) << BITS[1]
            image[pixel] = lower | np.uint32(c[pixel]) << BITS[2] | np.uint32(d[pixel]) << BITS[3]
