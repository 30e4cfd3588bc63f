"""Freed memory is taken again without page faults; optimisers step as torch's do, without its compiler."""

from __future__ import annotations

import ctypes
import sys

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from agents.policies.lean_torch import keep_freed_memory, step_without_compiler

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
    # Some of the ten may find a small allocation in their place; without the setting all take their faults.
    assert faults() < 25_000


def weights_and_adam(**options: object) -> tuple[torch.nn.Parameter, torch.optim.Adam]:
    weights = torch.nn.Parameter(torch.linspace(-1, 1, 5))
    return weights, torch.optim.Adam([weights], lr=0.1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"weight_decay": 0.1, "amsgrad": True}])
def test_the_same_steps_as_torchs_own(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    (ours, lean), (theirs, plain) = (weights_and_adam(**options) for _ in range(2))
    for seed in range(3):
        for weights in (ours, theirs):
            weights.grad = torch.randn(5, generator=torch.Generator().manual_seed(seed))
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "torch._dynamo", raising=False)
            step_without_compiler(lean)
            assert "torch._dynamo" not in sys.modules
        plain.step()
    assert torch.equal(ours, theirs)
    assert lean.state_dict()["state"][0].keys() == plain.state_dict()["state"][0].keys()


@pytest.mark.parametrize("listener", ["hook", "scheduler", "global hook"])
def test_what_listens_to_steps_is_called(listener: str) -> None:
    weights, adam = weights_and_adam()
    weights.grad = torch.ones(5)
    calls: list[object] = []
    handle = None
    if listener == "hook":
        adam.register_step_post_hook(lambda *_: calls.append(None))
    elif listener == "scheduler":
        vars(adam)["step"] = lambda: calls.append(None)
    else:
        handle = register_optimizer_step_pre_hook(lambda *_: calls.append(None))
    try:
        step_without_compiler(adam)
    finally:
        if handle is not None:
            handle.remove()
    assert len(calls) == 1
