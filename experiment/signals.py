"""SIGINT and SIGTERM as a request to stop at the next step; a second one ends the process at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from .errors import ExitCode

EXIT_CODES = {signal.SIGINT: ExitCode.SIGINT, signal.SIGTERM: ExitCode.SIGTERM}


class CutShort(Exception):
    """A signal came during an evaluation."""


class StopRequest:
    """`with StopRequest() as stop:` turns the signals into `stop.signal`, None until one arrives."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        self._previous = {number: signal.signal(number, self._receive) for number in EXIT_CODES}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        for each in EXIT_CODES:
            signal.signal(each, signal.SIG_DFL)

    def cut_short(self, *_: object) -> None:
        """End an evaluation of which this is the callback.

        Raises:
            CutShort: if a signal has come.
        """
        if self.signal is not None:
            raise CutShort

    @property
    def name(self) -> str:
        """SIGINT, SIGTERM, or nothing."""
        return "" if self.signal is None else self.signal.name

    @property
    def exit_code(self) -> ExitCode:
        """128 + signal, or OK."""
        return ExitCode.OK if self.signal is None else EXIT_CODES[self.signal]
