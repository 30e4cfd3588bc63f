"""Exit codes and the one `error:` line: every way a command can end, in one place."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from enum import IntEnum

from . import garbage


class ExitCode(IntEnum):
    """What the shell sees (sysexits.h where it has a code, 128 + n for signal n)."""

    OK = 0
    USAGE = 2
    BAD_CHECKPOINT = 65
    NO_INPUT = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    CANNOT_CREATE = 73
    IO = 74
    NUMERICAL = 78
    SIGINT = 130
    SIGTERM = 143


MAX_LINE = 300


class CommandError(Exception):
    """A command that must stop, with its exit code and one sentence for the user."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def usage(message: str) -> CommandError:
    """The most common one: bad arguments or configuration (2)."""
    return CommandError(ExitCode.USAGE, message)


def exit_code(error: BaseException) -> ExitCode:
    """The code an exception means when nobody has said it better."""
    match error:
        case CommandError():
            return error.code
        case FloatingPointError():
            return ExitCode.NUMERICAL
        case ImportError():
            return ExitCode.UNAVAILABLE
        case OSError():
            return ExitCode.IO
        case KeyboardInterrupt():
            return ExitCode.SIGINT
        case _:
            return ExitCode.INTERNAL


def describe(error: BaseException) -> str:
    """One line of at most MAX_LINE characters, printable throughout; an unexpected error also says its class."""
    text = str(error)
    match error:
        case KeyboardInterrupt():
            text = "interrupted"
        case _ if exit_code(error) is ExitCode.INTERNAL and not isinstance(error, CommandError):
            text = f"internal error, {type(error).__name__}: {text} (--debug shows where)"
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    room = MAX_LINE - len("error: ")
    return f"error: {line if len(line) <= room else line[: room - 3] + '...'}"


def run_command(command: Callable[[], ExitCode], debug: bool) -> int:
    """Run a command; whatever it raises becomes one `error:` line on stderr (with the traceback under --debug)."""
    garbage.pause()
    try:
        return int(command())
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        print(describe(error), file=sys.stderr)
        return int(exit_code(error))
    finally:
        garbage.resume()
