"""`--list-algos` and `--list-envs`, read from the registries."""

from __future__ import annotations

from .errors import ExitCode

SPACES = ("Discrete", "MultiDiscrete", "MultiBinary", "Box")


def heads_by_space() -> dict[str, list[str]]:
    """Action space name to the heads that cover it, found by asking each head."""
    from gymnasium import spaces

    from agents.policies.heads import HEADS, make_head

    examples = {
        "Discrete": spaces.Discrete(3),
        "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
        "MultiBinary": spaces.MultiBinary(2),
        "Box": spaces.Box(-1.0, 1.0, (2,)),
    }
    covered: dict[str, list[str]] = {name: [] for name in SPACES}
    for space, example in examples.items():
        for head in HEADS:
            for argument in ("", ":0.5"):
                try:
                    make_head(head + argument, example)
                except ValueError:
                    continue
                covered[space].append(head + argument.replace("0.5", "<alpha>"))
                break
    return covered


def print_algos() -> ExitCode:
    """One line per algorithm and per action space."""
    import agents

    print("algorithms")
    for name, algorithm in agents.ALGORITHMS.items():
        summary = (algorithm.__doc__ or "").strip().partition("\n")[0]
        print(f"  {name:<10} {summary}")
    print("heads, by action space (for every algorithm)")
    for space, heads in heads_by_space().items():
        if heads:
            print(f"  {space:<14} {', '.join(heads)}")
    return ExitCode.OK


def print_envs() -> ExitCode:
    """One id per line."""
    import envs

    print("\n".join(envs.list_ids()))
    return ExitCode.OK
