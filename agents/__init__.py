"""Mirrorzoo's agents: SB3-style algorithms in which any head, objective and regulariser composes.

    from agents import PPO, SPMA
    SPMA("MlpPolicy", "CartPole-v1", policy_kwargs=dict(head="tsallis:0.5")).learn(100_000)

Importing this package is cheap: torch and SB3 load with the first algorithm that is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .algorithms import LCO, MDPO, PPO, REINFORCE, SPMA, TRPO

__all__ = [
    "ALGORITHMS",
    "LCO",
    "MDPO",
    "PPO",
    "REINFORCE",
    "SPMA",
    "TRPO",
    "register_algorithm",
    "register_head",
]


_CLASSES = ("PPO", "SPMA", "MDPO", "LCO", "TRPO", "REINFORCE")


class _Algorithms(Mapping[str, Any]):
    """Algorithm name to class; the names are free, a class is loaded when it is looked up."""

    def __init__(self) -> None:
        self._loaders: dict[str, Callable[[], Any]] = {}

    def __getitem__(self, name: str) -> Any:
        return self._loaders[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)

    def add(self, name: str, loader: Callable[[], Any]) -> None:
        """Add a name; the loader returns the class."""
        if name in self._loaders:
            raise ValueError(f"algorithm {name!r} is registered already")
        self._loaders[name] = loader


ALGORITHMS = _Algorithms()


def register_algorithm(name: str, cls: type) -> None:
    """Make a user's own `OnPolicy` subclass available as `ALGORITHMS[name]` and `--algo name`.

    Raises:
        ValueError: if the name is taken.
    """
    ALGORITHMS.add(name, lambda: cls)


def register_head(name: str, factory: Callable[..., Any]) -> None:
    """Make a user's own head available as `head="name"`; see `agents.policies.heads.register_head`."""
    import_module(".policies.heads", __name__).register_head(name, factory)


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(import_module(".algorithms", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


for _name in _CLASSES:
    ALGORITHMS.add(_name.lower(), lambda name=_name: __getattr__(name))  # type: ignore[misc]
