"""Classes by name: what `policy_kwargs` may say in YAML, and how checkpoints store a class without pickle."""

from __future__ import annotations

import torch
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from torch import nn

from ..suggest import closest

ACTIVATIONS = (nn.Tanh, nn.ReLU, nn.ELU, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.Sigmoid, nn.Softplus, nn.Mish, nn.Identity)
OPTIMIZERS = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop)
EXTRACTORS = (FlattenExtractor, NatureCNN, CombinedExtractor)

CLASSES: dict[str, dict[str, type]] = {
    "activation_fn": {cls.__name__: cls for cls in ACTIVATIONS},
    "optimizer_class": {cls.__name__: cls for cls in OPTIMIZERS},
    "features_extractor_class": {cls.__name__: cls for cls in EXTRACTORS},
}


def class_from_name(argument: str, value: type | str) -> type:
    """The class that `value` names for an argument of `policy_kwargs`; a class stays as it is. "nn.ReLU" is "ReLU".

    Raises:
        ValueError: for an unknown name, with the closest one.
    """
    if isinstance(value, type):
        return value
    known = CLASSES[argument]
    by_lower = {name.lower(): cls for name, cls in known.items()}
    name = str(value).rpartition(".")[2]
    if name.lower() not in by_lower:
        raise ValueError(f"{argument}={value!r}: unknown{closest(name, known)} Known: {', '.join(known)}")
    return by_lower[name.lower()]


def name_from_class(argument: str, cls: type) -> str | None:
    """The registered name of a class, or None for a user's own."""
    return next((name for name, known in CLASSES.get(argument, {}).items() if known is cls), None)
