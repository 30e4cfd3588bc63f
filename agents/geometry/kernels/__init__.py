"""The dense Tsallis softargmax (alpha < 1, uniform reference, float32) in Numba, for the CPU.

Needs Numba: import it only where that is wanted. All four functions take C-contiguous float32 arrays, [B, A] or one row
[A], and write to `out`, which may be an input; they release the GIL and can be called from other compiled functions.
`alpha` and `scale` are those of `Divergence.tsallis_form`, with the weight times the temperature. What a row gets does
not depend on the rows around it. A compiled caller inlines them into its own cache on disk, which does not see a change
in here.
"""

from .backward import log_softargmax_vjp_row, log_softargmax_vjp_rows
from .forward import log_softargmax_row, log_softargmax_rows

__all__ = ["log_softargmax_row", "log_softargmax_rows", "log_softargmax_vjp_row", "log_softargmax_vjp_rows"]
