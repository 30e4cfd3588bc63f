"""What Numba does at a cost that nobody asked for: loading SciPy's linear algebra."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def import_numba() -> bool:
    """Import Numba without scipy.linalg, which takes a third of a second; what compiles a product of matrices loads it.

    Numba's arithmetic of arrays loads it at once, only to know that it is there: that is what SciPy's presence says.
    False if Numba was told to compile nothing (NUMBA_DISABLE_JIT).

    Raises:
        ImportError: where Numba is absent, or not made for this NumPy.
    """
    import numba
    from numba.np import linalg

    compiles = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
    ensure = getattr(linalg, "ensure_blas", None)
    if ensure is None or "numba.np.arraymath" in sys.modules or find_spec("scipy") is None:
        return compiles
    linalg.ensure_blas = lambda: None
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = ensure
    arraymath.ensure_blas = ensure
    return compiles
