"""The two commands: parse, then import what the command needs and hand over."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .errors import ExitCode, run_command
from .flags import evaluate_parser, parse, train_parser


def train_main(argv: Sequence[str] | None = None) -> int:
    """`train.py`: returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    return run_command(lambda: _train(arguments), debug="--debug" in arguments)


def evaluate_main(argv: Sequence[str] | None = None) -> int:
    """`evaluate.py`: returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    return run_command(lambda: _evaluate(arguments), debug="--debug" in arguments)


def _train(argv: list[str]) -> ExitCode:
    args = parse(train_parser(), argv)
    if args.list_algos or args.list_envs:
        from .listing import print_algos, print_envs

        if args.list_algos:
            print_algos()
        if args.list_envs:
            print_envs()
        return ExitCode.OK

    from .config import resolve

    config = resolve(args)
    if args.dry_run:
        print(config.to_yaml(), end="")
        return ExitCode.OK
    if args.seeds is not None:
        from .seeds import train_seeds

        return train_seeds(args, argv)

    from .train import train

    return train(config, args, argv)


def _evaluate(argv: list[str]) -> ExitCode:
    args = parse(evaluate_parser(), argv)

    from .evaluate import evaluate

    return evaluate(args)
