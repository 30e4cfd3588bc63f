"""python -m benchmark speed PART ...: what is measured, each part loaded on use.

`training` is meant where no part is named.
"""

from __future__ import annotations

import sys
from importlib import import_module

from agents.suggest import closest

PARTS = {  # name -> what it does, by the main(arguments) -> exit status of the module of that name
    "training": "CPU time per step of training, side by side with Stable-Baselines3",
    "learning": "returns by engine and by Stable-Baselines3 over several seeds: is it the same learning?",
    "pong": "does the convolutional path learn Pong, in float32 and in bfloat16?",
    "stepping": "CPU time of a step of the environments, by backend",
    "startup": "seconds from the command to stepping, with warm and with empty caches",
    "load": "how much CPU time per step rises beside a busy process on each core",
    "heads": "forward and backward of the action heads, against log_softmax and entmax",
}
USAGE = "usage: python -m benchmark speed [PART] [ARGUMENT ...]   (PART --help says more)\n\n" + "\n".join(
    f"  {name:9} {purpose}" for name, purpose in PARTS.items()
)


def main(arguments: list[str]) -> int:
    """Hand the arguments over to a part; 2 if there is none of that name."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if not arguments or arguments[0].startswith("-"):
        arguments = ["training", *arguments]
    name, *rest = arguments
    if name not in PARTS:
        print(f"unknown part {name!r}{closest(name, PARTS)}\n\n{USAGE}", file=sys.stderr)
        return 2
    return import_module(f".{name}", __package__).main(rest)
