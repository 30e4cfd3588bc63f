"""What a run may be: every check that can be made before a folder is created or a worker started."""

from __future__ import annotations

import argparse
import inspect
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agents
from agents.suggest import closest

from .errors import CommandError, ExitCode, usage

if TYPE_CHECKING:
    from .config import RunConfig

LONG_RUN = 10**9
MAX_NAME = 255  # bytes that a file system takes as one name
STEPS_PER_SECOND = 10_000  # of a small MLP on one core: only for the estimate in the message
GIVEN_BY_THE_RUN = {"self", "env", "policy", "seed", "device", "verbose", "tensorboard_log", "_init_setup_model"}


def check_options(args: argparse.Namespace) -> None:
    """Ranges and names of the command line itself.

    Raises:
        CommandError: 2, or 69 for a CUDA device that is not there.
    """
    if args.seed != -1 and args.seeds is not None:
        raise usage("--seed and --seeds exclude each other")
    for seed in [args.seed, *(args.seeds or [])]:
        check_seed(seed)
    if args.n_timesteps is not None and args.n_timesteps > LONG_RUN and not args.yes_long:
        days = args.n_timesteps / STEPS_PER_SECOND / 86_400
        raise usage(
            f"-n {args.n_timesteps}: about {days:,.0f} days at {STEPS_PER_SECOND:,} steps/s; --yes-long if it is meant"
        )
    for name, extra in {"eval_freq": (-1,), "save_freq": (-1,), "num_threads": (-1,), "log_interval": (-1, -2)}.items():
        value = getattr(args, name)
        if value < 1 and value not in extra:
            raise usage(f"--{name.replace('_', '-')} {value}: must be >= 1 or {' or '.join(map(str, extra))}")
    for flag, path in {"--log-folder": args.log_folder, "--tensorboard-log": args.tensorboard_log}.items():
        check_path(flag, path)
    check_device(args.device)


def check_seed(seed: int) -> None:
    """-1 (random) or 0 ... 2^32 - 1, with room for one seed per environment."""
    if not -1 <= seed < 2**32 - 10_000:
        raise usage(f"--seed {seed}: must be -1 (random) or a whole number from 0 to 2**32 - 10001")


def check_path(flag: str, path: Path | None) -> None:
    """Refuse names that no file system or no reader takes: NUL, control and direction characters, endless parts."""
    if path is None:
        return
    if not str(path).isprintable():
        raise usage(f"{flag} {str(path)!r}: has characters that can't be printed")
    if any(len(part.encode(errors="replace")) > MAX_NAME for part in path.parts):
        raise usage(f"{flag}: a name longer than {MAX_NAME} bytes")


def check_device(device: str) -> None:
    """A device that torch has here."""
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise usage(f"--device {device}: must be auto, cpu, cuda or cuda:N{closest(device, ('auto', 'cpu', 'cuda'))}")
    if device.startswith("cuda"):
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(match[1] or 0) >= count:
            raise CommandError(
                ExitCode.UNAVAILABLE, f"--device {device}: torch {torch.__version__} sees {count} CUDA devices here"
            )


def check_algorithm(name: str) -> None:
    """Refuse an unknown algorithm (2); none is loaded."""
    if name not in agents.ALGORITHMS:
        raise usage(
            f"--algo {name}: unknown{closest(name, agents.ALGORITHMS)}; choose from {', '.join(agents.ALGORITHMS)}"
        )


def check_env(env_id: str, allow_deprecated: bool) -> None:
    """Refuse an unknown or out-of-date environment (2) or one whose package is missing (69)."""
    import envs

    if len(env_id) > MAX_NAME:
        raise usage(f"--env: a name longer than {MAX_NAME} characters")
    try:
        envs.resolve_id(env_id, allow_deprecated=allow_deprecated)
    except ValueError as error:
        raise usage(str(error)) from error


def constructor_arguments(algorithm: type) -> dict[str, inspect.Parameter]:
    """What a configuration may give to an algorithm's constructor."""
    parameters = inspect.signature(algorithm).parameters
    return {name: p for name, p in parameters.items() if name not in GIVEN_BY_THE_RUN and p.kind is not p.VAR_KEYWORD}


def check_objective_arguments(values: Mapping[str, object], algorithm: type) -> None:
    """`--objective-args` takes what an algorithm does not share with all others.

    Raises:
        ValueError: for any other name.
    """
    shared = set(constructor_arguments(algorithm))
    for other in agents.ALGORITHMS.values():
        shared &= set(constructor_arguments(other))
    own = set(constructor_arguments(algorithm)) - shared
    for name in values:
        if name not in own:
            raise ValueError(f"--objective-args {name}: unknown{closest(name, own)}; there is {', '.join(sorted(own))}")


def is_integer_argument(name: str) -> bool:
    """Whether an argument is a whole number by its table."""
    from agents.training.arguments import ARGUMENTS

    return name in ("frame_stack", "max_episode_steps", "reward_delay") or getattr(
        ARGUMENTS.get(name), "integer", False
    )


def check_entry(entry: Mapping[str, Any], algorithm: type, env_keys: Collection[str]) -> None:
    """Names, types and ranges of the merged hyperparameters.

    Raises:
        ValueError: for the first bad one.
    """
    from agents.training.arguments import check_arguments

    known = {*constructor_arguments(algorithm), *env_keys}
    for name in entry:
        if name not in known:
            raise ValueError(f"{name}: unknown hyperparameter of {algorithm.__name__}{closest(name, known)}")
    if "n_timesteps" not in entry:
        raise ValueError("n_timesteps: neither in the YAML nor given by -n")
    check_arguments(entry)
    for name in ("env_kwargs", "policy_kwargs"):
        if not isinstance(entry.get(name) or {}, dict):
            raise ValueError(f"{name}={entry[name]!r}: must be a mapping")


def check_config(config: RunConfig, algorithm: Any) -> None:
    """Whether the parts fit: sizes, environment arguments, and policy, head and regulariser with the spaces.

    Raises:
        CommandError: 2.
    """
    from agents.training.arguments import check_batch
    from agents.training.steps import check_step

    defaults = {name: p.default for name, p in constructor_arguments(algorithm).items()}
    values = defaults | config.hyperparams
    if config.policy not in algorithm.policy_aliases:
        known = algorithm.policy_aliases
        raise usage(f"policy={config.policy!r}: unknown{closest(config.policy, known)}; choose from {', '.join(known)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the constructor says it again
            check_batch(values["n_steps"], config.n_envs, values["batch_size"], values["normalize_advantage"])
        check_step(values["step"], values["step_kwargs"])
    except ValueError as error:
        raise usage(str(error)) from error
    _check_regularizer(values, "reg_coef" in config.hyperparams)
    _check_policy(config, algorithm)


def _check_regularizer(values: Mapping[str, Any], given_coefficient: bool) -> None:
    from agents.geometry.divergences import divergence_from_name
    from agents.objectives.regularizers import Regularizer
    from agents.training.references import check_reference

    if values["regularizer"] is None:
        return
    if not given_coefficient:
        raise usage(f"regularizer={values['regularizer']!r}: has no coefficient, as in --reg kl,coef=0.01 or reg_coef")
    try:
        divergence = divergence_from_name(values["regularizer"])
        Regularizer(divergence, values["reg_coef"], values["reg_where"])
        check_reference(values["reg_reference"])
    except (TypeError, ValueError, AttributeError) as error:
        raise usage(f"regularizer={values['regularizer']!r}: {error}") from error


def _check_policy(config: RunConfig, algorithm: Any) -> None:
    """Build one environment and the policy on its spaces, in this process, and forget both."""
    from gymnasium import spaces

    observation_space, action_space = _spaces(config)
    if isinstance(observation_space, spaces.Dict) != (config.policy == "MultiInputPolicy"):
        needed = "MlpPolicy or CnnPolicy" if config.policy == "MultiInputPolicy" else "MultiInputPolicy"
        raise usage(f"policy={config.policy!r}: the observations of {config.env} need {needed}")
    policy_class = algorithm.policy_aliases[config.policy]
    policy_kwargs = config.hyperparams.get("policy_kwargs") or {}
    known = policy_arguments(policy_class)
    for name in policy_kwargs:
        if name not in known:
            raise usage(f"policy_kwargs: {name}: unknown{closest(name, known)}; choose from {', '.join(sorted(known))}")
    try:
        policy_class(observation_space, action_space, lambda _: 1e-3, **policy_kwargs)
    except (TypeError, ValueError, AssertionError, KeyError, RuntimeError) as error:
        raise usage(f"{config.policy} on {config.env}: {error or type(error).__name__}") from error


def _spaces(config: RunConfig) -> tuple[Any, Any]:
    """Observation and action space of one environment made as the run will make it (but without a worker process)."""
    import envs

    backend = "dummy" if config.vec_env == "subproc" else config.vec_env
    try:
        probe = envs.make_vec(config.env, 1, backend=backend, **config.env_arguments(training=True))
    except ImportError:
        raise
    except ValueError as error:
        raise usage(str(error)) from error
    except Exception as error:  # whatever a user's arguments make an environment raise
        given = f" with {config.env_kwargs}" if config.env_kwargs else ""
        raise usage(f"{config.env} can't be made{given}: {type(error).__name__}: {error}") from error
    probe.close()
    return probe.observation_space, probe.action_space


def policy_arguments(policy_class: type) -> set[str]:
    """What `policy_kwargs` may hold: the arguments of the class, and of those that it hands its own on to."""
    names: set[str] = set()
    for cls in policy_class.__mro__:
        parameters = inspect.signature(cls).parameters.values()
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"observation_space", "action_space", "lr_schedule", "use_sde"}
