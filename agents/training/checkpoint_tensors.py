"""The tensors of a checkpoint: parameters and optimiser state as named arrays, "policy/...", "optimizer/0/exp_avg"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arguments_json import from_json, to_json


def parameters_of(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """What `get_parameters` returns of the model that was saved."""
    policy = as_tensors(under("policy/", tensors))
    return {"policy": policy, "policy.optimizer": _join_optimizer(header["optimizer"], tensors)}


def under(prefix: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def as_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """A state_dict that shares their memory."""
    return {name: torch.as_tensor(array) for name, array in arrays.items()}


def split_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The state of an optimiser as JSON (groups, plain numbers) and arrays."""
    state = optimizer.state_dict()
    plain: dict[str, dict[str, Any]] = {}
    arrays: dict[str, np.ndarray] = {}
    for index, entries in state["state"].items():
        plain[str(index)] = {key: value for key, value in entries.items() if not isinstance(value, Tensor)}
        arrays |= {f"optimizer/{index}/{k}": to_array(v) for k, v in entries.items() if isinstance(v, Tensor)}
    groups = [{key: to_json(key, value) for key, value in group.items()} for group in state["param_groups"]]
    return {"groups": groups, "state": plain}, arrays


def _join_optimizer(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    state = {int(index): dict(entries) for index, entries in header["state"].items()}
    for name, array in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state[int(index)][key] = torch.as_tensor(array)
    groups = [
        {key: tuple(value) if key == "betas" else from_json(key, value, {}) for key, value in group.items()}
        for group in header["groups"]
    ]
    return {"state": state, "param_groups": groups}


def lay_out_like_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimiser's moments the memory order of their parameters, such as channels last.

    Files keep the plain order, and fused Adam takes for granted that all are the same.
    """
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                entries[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def to_array(tensor: Tensor) -> np.ndarray:
    """A tensor on any device, in NumPy."""
    return tensor.detach().cpu().numpy()


def non_finite(tensors: Mapping[str, np.ndarray]) -> str | None:
    """The name of the first array with a NaN or an infinity."""
    return next((n for n, a in tensors.items() if a.dtype.kind == "f" and not np.isfinite(a).all()), None)
