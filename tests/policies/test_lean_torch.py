"""What is freed stays with the process, so that it costs no page faults to take it again."""

from __future__ import annotations

import ctypes
import sys

import pytest
import torch

from agents.policies.lean_torch import keep_freed_memory

GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


@pytest.mark.skipif(not GLIBC, reason="only glibc's allocator can be told")
def test_memory_freed_is_taken_again_without_page_faults() -> None:
    import resource

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(5_000_000) for _ in range(10)]  # 200 MB, 50000 pages
        del blocks
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    keep_freed_memory()
    faults()
    # A block or two of the ten may find a small allocation in their place; without the setting all take their faults.
    assert faults() < 10_000
