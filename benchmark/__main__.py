"""python -m benchmark COMMAND ...: what this package can do, each command loaded on use."""

from __future__ import annotations

import sys
from importlib import import_module

from agents.suggest import closest

COMMANDS = {  # name -> module with main(arguments) -> exit status, and what it does
    "speed": ("speed.cli", "training, environments and heads, side by side with their peers"),
    "theory": ("theory.cli", "the papers' claims, run exactly on tabular problems: list, run, table"),
}
USAGE = "usage: python -m benchmark COMMAND [ARGUMENT ...]   (COMMAND --help says more)\n\n" + "\n".join(
    f"  {name:8} {purpose}" for name, (_, purpose) in COMMANDS.items()
)


def main(arguments: list[str]) -> int:
    """Hand the arguments over to a command; 2 if there is none of that name."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"unknown command {name!r}{closest(name, COMMANDS)}\n\n{USAGE}", file=sys.stderr)
        return 2
    return import_module(f".{COMMANDS[name][0]}", __package__).main(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
