"""`--list-algos` and `--list-envs`, read from the registries; what composes is found by composing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from .errors import ExitCode

ARGUMENTS = ("", ":0.5", ":2")  # of heads, as examples: none, an alpha below and above 1 (or a number of bins)
Cell = tuple[str, str]  # action space, head


@cache
def example_spaces() -> dict[str, Any]:
    """A small action space of each kind."""
    from gymnasium import spaces

    return {
        "Discrete": spaces.Discrete(3),
        "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
        "MultiBinary": spaces.MultiBinary(2),
        "Box": spaces.Box(-1.0, 1.0, (2,)),
    }


def heads_by_space() -> dict[str, list[str]]:
    """Action space name to the heads that cover it, found by asking each head with example arguments."""
    return {space: [head for head in _example_heads() if _covers(head, space)] for space in example_spaces()}


def _example_heads() -> Iterator[str]:
    from agents.policies.heads import HEADS

    return (head + argument for head in HEADS for argument in ARGUMENTS)


def _covers(head: str, space: str) -> bool:
    from agents.policies.heads import make_head

    try:
        make_head(head, example_spaces()[space])
    except ValueError:
        return False
    return True


def options(algorithm: Any) -> dict[str, list[dict[str, Any]]]:
    """The choices of an algorithm that are names, by title: constructor arguments to try, one choice at a time."""
    from agents.objectives.regularizers import PLACES
    from agents.training.steps import STEPS

    names = {
        "step": STEPS,
        "advantage": ("sampled", "dense"),
        "form": ("kl", "target"),
        "match": ("kld", "mse", "log_cosh"),
    }
    choices = {
        name: [{name: value} for value in values]
        for name, values in names.items()
        if name in algorithm.argument_names()
    }
    kl = {"regularizer": "kl"}
    choices["regularizer kl, reg_where"] = [{"reg_where": place} | kl for place in PLACES]
    choices["regularizer kl, reg_reference"] = [{"reg_reference": "initial"} | kl]
    return choices


def refusal(algorithm: Any, cell: Cell, choice: dict[str, Any]) -> str | None:
    """Why the algorithm's own checks refuse a head with a choice; None: they compose."""
    space, head = cell
    policy_kwargs = {"head": head, "net_arch": [], "ortho_init": False}
    rollout = {"n_steps": 4, "batch_size": 4, "device": "cpu"}
    try:
        algorithm("MlpPolicy", _example_env(space), policy_kwargs=policy_kwargs, **rollout, **choice)
    except ValueError as error:
        return str(error)
    return None


@cache
def _example_env(space: str) -> Any:
    import gymnasium
    from stable_baselines3.common.vec_env import DummyVecEnv

    env: Any = gymnasium.Env()
    env.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    env.action_space = example_spaces()[space]
    return DummyVecEnv([lambda: env])


Refused = tuple[tuple[str, tuple[Cell, ...]], ...]  # reason, what is refused for it


def refusals(algorithm: Any, cells: Sequence[Cell], choice: dict[str, Any]) -> Refused:
    """What an algorithm refuses with a choice, by reason."""
    refused: dict[str, list[Cell]] = {}
    for cell in cells:
        if reason := refusal(algorithm, cell, choice):
            refused.setdefault(reason.partition(", got ")[0], []).append(cell)
    return tuple((reason, tuple(of_reason)) for reason, of_reason in refused.items())


def composition(algorithm: Any, cells: Sequence[Cell]) -> Iterator[str]:
    """Lines that tell what an algorithm takes: heads with its defaults, then each choice with the heads left."""
    refused = refusals(algorithm, cells, {})
    yield "heads: all" + _except(refused, cells)
    gone = {cell for _, of_reason in refused for cell in of_reason}
    left = [cell for cell in cells if cell not in gone]
    for title, choices in options(algorithm).items():
        alike: dict[Refused, list[str]] = {}
        for choice in choices:
            alike.setdefault(refusals(algorithm, left, choice), []).append(next(iter(choice.values())))
        for refused, names in alike.items():
            yield f"{title}: {', '.join(names)}" + _except(refused, left)


def _except(refused: Refused, cells: Sequence[Cell]) -> str:
    return "".join(f"\n    not {_names(of_reason, cells)}: {reason}" for reason, of_reason in refused)


def _names(some: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """The heads among `cells` that `some` are; a space of which all are is named alone."""
    names = []
    for space in dict.fromkeys(space for space, _ in some):
        heads = [head for of_space, head in some if of_space == space]
        whole = heads == [head for of_space, head in cells if of_space == space]
        names.append(space if whole else f"{', '.join(heads)} on {space}")
    return ", ".join(names)


def print_algos() -> ExitCode:
    """Each algorithm and what it composes with, and each action space with its heads."""
    import agents

    heads = heads_by_space()
    print("heads, by action space (with examples of their arguments)")
    for space, names in heads.items():
        print(f"  {space:<14} {', '.join(names)}")
    cells = [(space, head) for space, names in heads.items() for head in names]
    for name, algorithm in agents.ALGORITHMS.items():
        print(f"{name}: {(algorithm.__doc__ or '').strip().partition(chr(10))[0]}")
        for line in composition(algorithm, cells):
            print(f"  {line}")
    return ExitCode.OK


def print_envs() -> ExitCode:
    """One id per line."""
    import envs

    print("\n".join(envs.list_ids()))
    return ExitCode.OK
