"""Numba comes without SciPy's linear algebra, until somebody compiles a product of matrices."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("numba", reason="about Numba (extra `fast`)")


def test_scipy_is_loaded_by_the_product_that_needs_it() -> None:
    code = (
        "import sys, numpy, agents\n"
        "from agents.training.engine.trunk import executor_named\n"
        "assert executor_named('auto') == 'numba'\n"
        "import numba\n"
        "row = numpy.arange(3.0)\n"
        "assert numba.njit(lambda x: x.sum() + x[0])(row) == 3.0 and 'scipy.linalg' not in sys.modules\n"
        "assert numba.njit(lambda x: numpy.dot(x, x))(row) == 5.0 and 'scipy.linalg' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
