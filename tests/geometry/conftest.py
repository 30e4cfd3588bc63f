"""Fixture: the two ways in which the CPU computes a dense Tsallis head."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.geometry import use_kernels


@pytest.fixture(params=["kernels", "torch"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test with the Numba kernels, where Numba is installed, and with torch alone."""
    if request.param == "kernels":
        pytest.importorskip("numba", reason="the kernels need the extra `fast`")
    with use_kernels(request.param == "kernels"):
        yield request.param
