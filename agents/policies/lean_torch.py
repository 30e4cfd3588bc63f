"""Making an optimiser without loading torch's compiler."""

from __future__ import annotations

import sys

from torch.optim import Optimizer


def keep_compiler_out() -> None:
    """Let torch make optimisers without importing torch._dynamo, which takes a second and 80 MB.

    Two methods of `Optimizer` are wrapped so that torch.compile leaves them alone, and import the compiler at their
    first call to learn how; the wrapper remembers on the method what to call, and here that is the method itself. In a
    process that has loaded the compiler already nothing is changed, and torch's own Adam loads it at its first step.
    """
    if "torch._dynamo" in sys.modules:
        return
    for wrapper in (Optimizer.add_param_group, Optimizer.zero_grad):
        method = getattr(wrapper, "__wrapped__", None)
        if method is not None and not hasattr(method, "__dynamo_disable"):
            method.__dynamo_disable = method
