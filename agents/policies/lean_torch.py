"""What torch does at a cost that nobody asked for: loading its compiler, and giving memory back to take it again."""

from __future__ import annotations

import ctypes
import inspect
import sys

import torch
from torch.optim import Adam, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_compiler_out() -> None:
    """Let torch make, save and load optimisers without importing torch._dynamo, which takes two seconds and 60 MB.

    Some methods of `Optimizer` are wrapped so that torch.compile leaves them alone, and import the compiler at their
    first call to learn how; the wrapper remembers on the method what to call, and here that is the method itself. In a
    process that has loaded the compiler already nothing is changed.
    """
    if "torch._dynamo" in sys.modules:
        return
    wrappers = (Optimizer.add_param_group, Optimizer.zero_grad, Optimizer.state_dict, Optimizer.load_state_dict)
    for wrapper in wrappers:
        method = getattr(wrapper, "__wrapped__", None)
        if method is not None and not hasattr(method, "__dynamo_disable"):
            method.__dynamo_disable = method


def step_without_compiler(adam: Optimizer) -> None:
    """adam.step(), whose wrappers would import torch._dynamo to switch gradients off, and call what listens.

    Where something listens, or the optimiser or the way it steps is of another kind, it is `step` itself.
    """
    listens = (
        adam._optimizer_step_pre_hooks
        or adam._optimizer_step_post_hooks
        or _global_optimizer_pre_hooks
        or _global_optimizer_post_hooks
    )
    known = type(adam) is Adam and "step" not in vars(adam) and not adam.defaults["differentiable"]
    if listens or not known or "torch._dynamo" in sys.modules:
        adam.step()
    else:
        with torch.no_grad():
            inspect.unwrap(Adam.step)(adam)


def keep_freed_memory() -> None:
    """Let glibc keep up to a gigabyte that was freed, for the process; elsewhere nothing happens.

    By default it returns a minibatch's activations to the system after each step, and the next one takes a page fault
    per 4 kB of them: a twentieth of the time of a convolutional update. The peak stays what it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**30)
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the largest that glibc takes
