"""The flags of `train.py` and `evaluate.py`, in the zoo's dialect. Parsing imports nothing heavy."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NoReturn

from agents.suggest import closest

from .errors import usage

VEC_ENVS = ("auto", "native", "inprocess", "ale", "envpool", "dummy", "subproc")
ENGINES = ("auto", "torch", "fused")


class Help(argparse.HelpFormatter):
    """Says the default of a flag where it has one worth saying."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        plain = (
            action.default in (None, False, argparse.SUPPRESS) or action.default == [] or "-1:" in (action.help or "")
        )
        return action.help if plain else f"{action.help} (default: %(default)s)"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and which has no abbreviations."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False, formatter_class=Help)

    def error(self, message: str) -> NoReturn:
        raise usage(f"{message} (see --help)")


def parse(parser: Parser, argv: list[str]) -> argparse.Namespace:
    """Parse, naming the closest flag to an unknown one.

    Raises:
        CommandError: 2 for whatever does not parse.
    """
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        raise usage(f"unknown argument {unknown[0]!r}{closest(unknown[0], flags)}")
    return args


def train_parser() -> Parser:
    """The flags of `train.py`."""
    parser = Parser(prog="train.py", description="Train an agent; the run folder is LOG_FOLDER/ALGO/ENV_N.")
    _run_flags(parser)

    what = parser.add_argument_group("what to train")
    what.add_argument(
        "-n", "--n-timesteps", type=step_count, help="environment steps (1e5 works; default: from the YAML)"
    )
    what.add_argument("--seed", type=int, default=-1, help="-1: a random one, printed and recorded")
    what.add_argument("--seeds", type=seed_list, metavar="0-4", help="one run per seed, as in 0-4 or 0,2,5")
    what.add_argument("--jobs", type=positive, default=1, help="how many of --seeds run at a time")
    what.add_argument(
        "--head", help="action head, as in softmax, tsallis:0.5 or gaussian (default: SB3's for the action space)"
    )
    what.add_argument(
        "--reg",
        metavar="F[,coef=C,ref=R,where=W]",
        help="regulariser, as in tsallis:0.5,coef=0.01,ref=uniform,where=reward",
    )
    _noise_flags(what)
    what.add_argument(
        "-params",
        "--hyperparams",
        nargs="+",
        action="extend",
        default=[],
        metavar="K:V",
        help="override the YAML's entry, as in learning_rate:3e-4 'policy_kwargs:dict(net_arch=[64])'",
    )
    what.add_argument(
        "--objective-args",
        nargs="+",
        action="extend",
        default=[],
        metavar="K:V",
        help="arguments of the objective alone, as in eta:0.3",
    )
    what.add_argument("-conf", "--conf-file", type=Path, help="a YAML file in place of agents/hyperparams/ALGO.yml")
    what.add_argument(
        "--env-kwargs", nargs="+", action="extend", default=[], metavar="K:V", help="arguments of the environment"
    )
    what.add_argument("--allow-deprecated", action="store_true", help="accept an out-of-date environment version")
    what.add_argument("--yes-long", action="store_true", help="accept more than 1e9 steps")

    where = parser.add_argument_group("where it goes and what is measured")
    where.add_argument(
        "-tb",
        "--tensorboard-log",
        type=Path,
        metavar="DIR",
        help="events in DIR/ENV/ALGO_K (default: in the run folder)",
    )
    where.add_argument(
        "--eval-freq", type=int, default=25_000, help="evaluate every so many steps; -1: only at the end"
    )
    where.add_argument(
        "--eval-episodes",
        type=positive,
        default=5,
        help="episodes per evaluation; the final one takes four times as many",
    )
    where.add_argument("--n-eval-envs", type=positive, default=1, help="environments of the evaluation")
    where.add_argument("--save-freq", type=int, default=-1, help="checkpoint every so many steps; -1: none")
    where.add_argument(
        "--log-interval", type=int, default=-1, help="updates between two log entries; -1: every update, -2: no log"
    )
    where.add_argument("--result-json", type=Path, help=argparse.SUPPRESS)

    how = parser.add_argument_group("how it runs")
    how.add_argument("--vec-env", choices=VEC_ENVS, default="auto", help="how several environments run side by side")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    how.add_argument("--engine", choices=ENGINES, help="auto: fused for plain MLPs on the CPU, torch for the rest")
    how.add_argument(
        "--num-threads",
        type=int,
        default=-1,
        help="threads of torch for a CNN policy, and of the environments' engine (default: 1; with a GPU, of the "
        "engine 1 per environment)",
    )
    how.add_argument("-P", "--progress", action="store_true", help="progress bar")
    how.add_argument("--verbose", type=int, choices=(0, 1, 2), default=1, help="0 prints only the outcome")

    instead = parser.add_argument_group("instead of training")
    instead.add_argument("--list-algos", action="store_true", help="algorithms, with their heads and action spaces")
    instead.add_argument("--list-envs", action="store_true", help="environment ids")
    instead.add_argument("--dry-run", action="store_true", help="check everything and print the resolved configuration")
    return parser


def evaluate_parser() -> Parser:
    """The flags of `evaluate.py`."""
    parser = Parser(prog="evaluate.py", description="Evaluate a trained agent in the environment it was trained for.")
    _run_flags(parser)
    parser.add_argument(
        "--exp-id", type=int, default=0, help="N of the run folder ALGO/ENV_N; 0: the latest, -1: no run folder, ALGO/"
    )
    parser.add_argument("--load-best", action="store_true", help="best_model.zip instead of the final model")
    parser.add_argument("--n-episodes", type=positive, default=20, help="episodes")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--deterministic", action="store_true", default=None, help="the mode of the policy (default, but not on Atari)"
    )
    mode.add_argument(
        "--stochastic",
        action="store_false",
        dest="deterministic",
        default=None,
        help="sampled actions (default on Atari)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the environment")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--video", action="store_true", help="record the first episode as an mp4 in RUN/videos")
    parser.add_argument("--json", metavar="PATH", help="write the result as JSON; - for stdout, and nothing else there")
    return parser


def _run_flags(parser: Parser) -> None:
    parser.add_argument("--algo", default="ppo", help="algorithm (see train.py --list-algos)")
    parser.add_argument("--env", default="CartPole-v1", help="environment id (see train.py --list-envs)")
    parser.add_argument("-f", "--log-folder", "--folder", type=Path, default=Path("logs"), help="where run folders are")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def _noise_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--reward-noise",
        type=number_or_text,
        metavar="STD",
        help="standard deviation of Gaussian noise on the training reward, or KIND:STD with KIND uniform or student_t; "
        "returns stay noise-free",
    )
    for flag, kind, metavar, text in (
        ("--observation-noise", float, "STD", "standard deviation of Gaussian noise on each observed number"),
        ("--sticky-actions", float, "P", "probability that the previous action is executed instead"),
        ("--random-action", float, "P", "probability that a uniformly random action is executed instead"),
        ("--reward-delay", int, "STEPS", "pay the training reward in one sum every so many steps, and at the end"),
    ):
        group.add_argument(flag, type=kind, metavar=metavar, help=text)


def number_or_text(text: str) -> float | str:
    """A number where it is one."""
    try:
        return float(text)
    except ValueError:
        return text


def positive(text: str) -> int:
    """A whole number >= 1."""
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number >= 1")
    return int(text)


def step_count(text: str) -> int:
    """A whole number of steps >= 1; `1e5` and `100_000` are understood."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (1 <= value < 1e18 and value.is_integer()):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of steps >= 1, as in 100000 or 1e5")
    return int(value)


def seed_list(text: str) -> list[int]:
    """`0-4` or `0,2,5` or both, each seed once."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part.strip())
        if match is None:
            raise argparse.ArgumentTypeError(f"{text!r}: the form is 0-4 or 0,2,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < 1000:
            raise argparse.ArgumentTypeError(f"{text!r}: {part} must go up, by less than 1000")
        seeds.extend(range(first, last + 1))
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"{text!r} names a seed twice")
    return seeds
