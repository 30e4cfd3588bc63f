"""One run, resolved: the YAML's entry, then the command line, checked before anything is created."""

from __future__ import annotations

import argparse
import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

import agents

from . import validation
from .errors import usage
from .strict_yaml import read_yaml
from .values import parse_pairs, parse_value

HYPERPARAMS = Path(agents.__file__).resolve().parent / "hyperparams"
ENTRY_KEYS = (
    "n_envs", "n_timesteps", "policy", "normalize", "frame_stack",
    "env_kwargs", "reward_noise", "observation_noise", "sticky_actions", "random_action", "reward_delay",
    "max_episode_steps", "atari",
)  # fmt: skip
FLAGS_OF_THE_ENTRY = (
    "n_timesteps", "reward_noise", "observation_noise", "sticky_actions", "random_action", "reward_delay",
    "engine",
)  # fmt: skip
STRUCTURED = ("normalize", "env_kwargs", "policy_kwargs", "atari")  # the zoo also writes these as "dict(...)" strings


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run, in plain values (so that run.json can hold it and evaluate.py rebuild it)."""

    algo: str
    env: str
    seed: int
    n_timesteps: int
    n_envs: int = 1
    policy: str = "MlpPolicy"
    normalize: bool | dict[str, Any] = False
    frame_stack: int | None = None
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    reward_noise: float | str = 0.0
    observation_noise: float = 0.0
    sticky_actions: float = 0.0
    random_action: float = 0.0
    reward_delay: int = 0
    max_episode_steps: int | None = None
    atari: dict[str, Any] | None = None
    allow_deprecated: bool = False
    vec_env: str = "auto"
    device: str = "auto"
    num_threads: int = -1
    eval_freq: int = 25_000
    eval_episodes: int = 5
    n_eval_envs: int = 1
    save_freq: int = -1
    log_interval: int = -1
    hyperparams: dict[str, Any] = field(default_factory=dict)

    def env_arguments(self, *, training: bool) -> dict[str, Any]:
        """Arguments of `envs.make_vec` that make this run's environment; what alters rewards is for training alone."""
        return {
            "normalize": self._normalize(),
            "training": training,
            "env_kwargs": dict(self.env_kwargs),
            "reward_noise": self.reward_noise if training else 0.0,
            "observation_noise": self.observation_noise,
            "sticky_actions": self.sticky_actions,
            "random_action": self.random_action,
            "reward_delay": self.reward_delay if training else 0,
            "frame_stack": self.frame_stack,
            "max_episode_steps": self.max_episode_steps,
            "atari": self.atari,
            "allow_deprecated": self.allow_deprecated,
        }

    def _normalize(self) -> bool | dict[str, Any]:
        """Returns are discounted by the agent's own gamma unless the configuration says otherwise, as in the zoo."""
        given = {} if self.normalize is True else self.normalize
        if "gamma" in self.hyperparams and isinstance(given, dict):
            return {"gamma": self.hyperparams["gamma"]} | given
        return self.normalize

    def protocol(self, *, training: bool = True) -> dict[str, Any]:
        """What a step, an episode and a reward are in training or evaluation, for Atari games; empty for others."""
        import envs

        return envs.protocol(
            self.env,
            training=training,
            sticky_actions=self.sticky_actions,
            frame_stack=self.frame_stack,
            max_episode_steps=self.max_episode_steps,
            atari=self.atari,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def to_yaml(self) -> str:
        """As YAML, in the order of the fields."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """From `to_dict`; names of another version are ignored."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


def drawn(seed: int) -> int:
    """A random seed for -1, else the one given."""
    return secrets.randbelow(2**31) if seed == -1 else seed


def resolve(args: argparse.Namespace) -> RunConfig:
    """The run that the command line asks for, fully checked; no file is written and no worker started.

    Raises:
        CommandError: 2 for bad usage, 66 for a missing file, 69 for a missing device or package.
    """
    validation.check_options(args)
    validation.check_algorithm(args.algo)
    validation.check_env(args.env, args.allow_deprecated)
    source = args.conf_file or HYPERPARAMS / f"{args.algo}.yml"
    entry = entry_for(args.env, read_yaml(source), source)
    algorithm = agents.ALGORITHMS[args.algo]
    try:
        entry = _with_command_line(entry, args, algorithm)
        validation.check_entry(entry, algorithm, ENTRY_KEYS)
    except ValueError as error:
        raise usage(str(error)) from error
    config = RunConfig(
        algo=args.algo,
        env=args.env,
        seed=drawn(args.seed),
        **{key: entry.pop(key) for key in ENTRY_KEYS if key in entry},
        **{name: getattr(args, name) for name in _RUN_OPTIONS},
        hyperparams=entry,
    )
    validation.check_config(config, algorithm)
    return config


_RUN_OPTIONS = (
    "allow_deprecated", "vec_env", "device", "num_threads",
    "eval_freq", "eval_episodes", "n_eval_envs", "save_freq", "log_interval",
)  # fmt: skip


def entry_for(env_id: str, entries: Mapping[str, object], source: Path) -> dict[str, Any]:
    """The entry of an environment: its id, else `atari` for a game, else `default`. One counts, nothing is merged."""
    import envs

    names = [env_id, *(["atari"] if envs.protocol(env_id) else []), "default"]
    name = next((name for name in names if name in entries), None)
    if name is None:
        raise usage(f"{source}: no entry for {env_id} and no `default`")
    entry = entries[name]
    if not isinstance(entry, dict):
        raise usage(f"{source}: {name}: must be a mapping of hyperparameters")
    return dict(entry)


def _with_command_line(entry: dict[str, Any], args: argparse.Namespace, algorithm: type) -> dict[str, Any]:
    entry |= parse_pairs(args.hyperparams)
    objective = parse_pairs(args.objective_args)
    validation.check_objective_arguments(objective, algorithm)
    entry |= objective
    for key in STRUCTURED:
        if isinstance(entry.get(key), str):
            entry[key] = parse_value(entry[key])
    entry = {key: plain(key, value) for key, value in entry.items()}
    if args.env_kwargs:
        entry["env_kwargs"] = (entry.get("env_kwargs") or {}) | parse_pairs(args.env_kwargs)
    if args.head is not None:
        entry["policy_kwargs"] = (entry.get("policy_kwargs") or {}) | {"head": args.head}
    if args.reg is not None:
        entry |= parse_regularizer(args.reg)
    for name in FLAGS_OF_THE_ENTRY:
        if getattr(args, name) is not None:
            entry[name] = getattr(args, name)
    return entry


def parse_regularizer(text: str) -> dict[str, Any]:
    """`tsallis:0.5,coef=0.01,ref=uniform,where=reward` as constructor arguments.

    Raises:
        ValueError: for an unknown or repeated part.
    """
    names = {"coef": "reg_coef", "ref": "reg_reference", "where": "reg_where"}
    divergence, *parts = text.split(",")
    values: dict[str, Any] = {"regularizer": divergence}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in names or not value or names[key] in values:
            raise ValueError(f"--reg {text!r}: {part!r}; the form is tsallis:0.5,coef=0.01,ref=uniform,where=reward")
        values[names[key]] = parse_value(value)
    return values


def plain(name: str, value: object) -> object:
    """`value` if it is made of plain finite values only; whole floats of integer arguments become integers.

    Raises:
        ValueError: for dates, sets, NaN and the like.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return int(value) if value.is_integer() and validation.is_integer_argument(name) else value
        case list():
            return [plain(name, item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: plain(f"{name}.{key}", item) for key, item in value.items()}
        case _:
            raise ValueError(f"{name}={value!r}: must be a finite number, a string, true, false, a list or a mapping")
