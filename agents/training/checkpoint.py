"""`save`, `load` and `set_parameters` of every algorithm, in the safe format: nothing in a file is ever executed."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv
from typing_extensions import Self

from ..suggest import closest
from .arguments_json import from_json, to_json
from .checkpoint_tensors import (
    as_tensors,
    lay_out_like_parameters,
    non_finite,
    parameters_of,
    split_optimizer,
    to_array,
    under,
)
from .normalizer import NormalizerState
from .safe_zip import CheckpointError, read, read_header, write
from .spaces_json import space_from_json, space_to_json

if TYPE_CHECKING:
    from ..policies import ActorCriticPolicy
    from .references import ReferencePolicy

__all__ = ["CheckpointError", "Saveable", "read_header"]

COUNTERS = ("num_timesteps", "_total_timesteps", "_n_updates", "_episode_num", "_current_progress_remaining")
PACKAGES = ("torch", "stable-baselines3", "gymnasium", "numpy")
Path_ = str | os.PathLike[str] | IO[bytes]


class Saveable(BaseAlgorithm):
    """SB3's persistence methods over JSON and safetensors: arguments, counters, parameters, optimiser, normaliser."""

    policy: ActorCriticPolicy
    _reference: ReferencePolicy
    _normalizer: NormalizerState | None = None

    @classmethod
    def argument_names(cls) -> list[str]:
        """Every constructor argument of the class."""
        raise TypeError(f"{cls.__name__} states no arguments")

    def save(  # type: ignore[override]
        self, path: Path_, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None
    ) -> None:
        """Write the model to `path` (".zip" is added where it has no suffix) or to an open binary file, atomically.

        Arguments, counters, parameters, optimiser state and the statistics of the environment's VecNormalize go in;
        `exclude` and `include` are accepted as in SB3 and must be empty, since the content is fixed.

        Raises:
            FloatingPointError: if a parameter is not finite; nothing is written then.
        """
        if exclude or include:
            raise ValueError("exclude/include: the content of a checkpoint is fixed; leave both empty")
        optimizer, tensors = split_optimizer(self.policy.optimizer)
        tensors |= {f"policy/{name}": to_array(tensor) for name, tensor in self.policy.state_dict().items()}
        bad = non_finite(tensors)
        if bad:
            raise FloatingPointError(f"{bad} is not finite; the model was not saved")
        tensors |= {f"reference/{name}": to_array(tensor) for name, tensor in self._reference.state_dict().items()}
        normalizer = self._current_normalizer()
        if normalizer is not None:
            tensors |= {f"normalizer/{name}": array for name, array in normalizer.arrays.items()}
        header = {
            "algorithm": type(self).__name__,
            "policy": self._policy_name(),
            "arguments": {name: to_json(name, getattr(self, name)) for name in self._stored_arguments()},
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
            "n_envs": self.n_envs,
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "adaptive": self.adaptive_state(),
            "optimizer": optimizer,
            "normalizer": None if normalizer is None else normalizer.settings,
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }
        write(_with_suffix(path), header, tensors)

    @classmethod
    def load(  # type: ignore[override]
        cls,
        path: Path_,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: Mapping[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """A new model from a file written by `save`.

        With `env`, its spaces must be the model's, and the file's normaliser statistics go into its VecNormalize, or
        around it in a new one. `custom_objects` gives a user's own classes and callables again, by argument name;
        `kwargs` override constructor arguments.

        Raises:
            FileNotFoundError: if there is no such file.
            CheckpointError: if it is foreign, torn, of another algorithm, or does not fit `env`.
            TypeError: for a keyword that is no constructor argument.
        """
        header, tensors = read(_existing(path))
        _check_kwargs(cls, kwargs)
        if header.get("algorithm") != cls.__name__:
            raise CheckpointError(
                f"{path}: a checkpoint of {header.get('algorithm')}, not of {cls.__name__}; "
                f"load it with {header.get('algorithm')}.load"
            )
        if print_system_info:
            print(f"saved with {header['versions']}")
        normalizer = _normalizer(header, tensors)
        model = cls._from_header(header, normalizer, env, device, custom_objects or {}, kwargs)
        model._load_tensors(header, tensors, str(path))
        if force_reset:
            model._last_obs = None
        return model

    @classmethod
    def _from_header(
        cls,
        header: dict[str, Any],
        normalizer: NormalizerState | None,
        env: GymEnv | None,
        device: torch.device | str,
        custom_objects: Mapping[str, Any],
        overrides: dict[str, Any],
    ) -> Self:
        try:
            stored = header["arguments"]
            arguments = {name: from_json(name, value, custom_objects) for name, value in stored.items()}
            observation_space, action_space = (
                space_from_json(header[key]) for key in ("observation_space", "action_space")
            )
            counters = {name: header["counters"][name] for name in COUNTERS}
            policy = from_json("policy", header["policy"], custom_objects)
            n_envs = int(header["n_envs"])
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"header.json: {error!r} is missing or of the wrong kind") from error
        if env is not None:
            env = cls._wrap_env(env, arguments.get("verbose", 0))
            env = env if normalizer is None else normalizer.attach(env)
            _check_spaces(env, observation_space, action_space)
        model = cls(policy, env, device=device, _init_setup_model=False, **arguments | overrides)  # type: ignore[call-arg]
        model.observation_space, model.action_space = observation_space, action_space
        if env is None:
            model.n_envs, model._normalizer = n_envs, normalizer
        for name, value in counters.items():
            setattr(model, name, value)
        model._setup_model()
        model.load_adaptive_state(header.get("adaptive", {}))
        return model

    def adaptive_state(self) -> dict[str, float]:
        """What an algorithm has adapted by itself, as plain numbers; nothing, unless it says otherwise."""
        return {}

    def load_adaptive_state(self, state: dict[str, float]) -> None:
        """Put back what `adaptive_state` gave."""

    def _load_tensors(self, header: dict[str, Any], tensors: dict[str, np.ndarray], path: str) -> None:
        bad = non_finite(tensors)
        if bad:
            raise CheckpointError(f"{path}: {bad} is not finite")
        try:
            self.set_parameters(parameters_of(header, tensors))
            self._reference.load_state_dict(as_tensors(under("reference/", tensors)))
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path}: parameters don't fit the model: {error}") from error

    def set_parameters(
        self, load_path_or_dict: Any, exact_match: bool = True, device: torch.device | str = "auto"
    ) -> None:
        """Load parameters from a file written by `save`, or from a dictionary as `get_parameters` returns it."""
        if not isinstance(load_path_or_dict, dict):
            load_path_or_dict = parameters_of(*read(_existing(load_path_or_dict)))
        super().set_parameters(load_path_or_dict, exact_match, device)
        lay_out_like_parameters(self.policy.optimizer)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """As in SB3; the normaliser statistics of a model loaded without an environment go into its first one."""
        if self._normalizer is not None:
            env = self._normalizer.attach(self._wrap_env(env, self.verbose))
        super().set_env(env, force_reset)
        self._normalizer = None

    def _current_normalizer(self) -> NormalizerState | None:
        env = self.get_vec_normalize_env()
        return self._normalizer if env is None else NormalizerState.of(env)

    def _stored_arguments(self) -> list[str]:
        run_specific = {"policy", "env", "device", "use_sde", "tensorboard_log"}
        return [name for name in self.argument_names() if name not in run_specific]

    def _policy_name(self) -> Any:
        names = {cls: name for name, cls in self.policy_aliases.items()}
        return names.get(self.policy_class) or to_json("policy", self.policy_class)


def _normalizer(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> NormalizerState | None:
    if header.get("normalizer") is None:
        return None
    return NormalizerState(header["normalizer"], under("normalizer/", tensors))


def _check_kwargs(cls: type[Saveable], kwargs: Mapping[str, Any]) -> None:
    names = cls.argument_names()
    for name in kwargs:
        if name not in names:
            raise TypeError(f"{cls.__name__}.load: unknown argument {name!r}{closest(name, names)}")


def _check_spaces(env: VecEnv, observation_space: spaces.Space, action_space: spaces.Space) -> None:
    for kind, ours, theirs in (
        ("observation", observation_space, env.observation_space),
        ("action", action_space, env.action_space),
    ):
        if ours != theirs:
            raise CheckpointError(f"the checkpoint's {kind} space is {ours}, the environment's {theirs}")


def _with_suffix(path: Path_) -> Path_:
    if isinstance(path, str | os.PathLike) and not Path(path).suffix:
        return Path(f"{os.fspath(path)}.zip")
    return path


def _existing(path: Path_) -> Path_:
    """The path as given if it is a file, else with ".zip"."""
    if isinstance(path, str | os.PathLike) and not Path(path).is_file():
        return _with_suffix(path)
    return path
