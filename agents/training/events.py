"""TensorBoard events at a tenth of the price."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat

FLUSH_SECONDS = 5.0


class Events(TensorBoardOutputFormat):
    """SB3's format with all scalars of a dump in one event, and on disk every few seconds instead of at every dump.

    A rollout of a small environment takes milliseconds, and so does SB3's way of writing what is to be said of it.
    """

    _flushed = 0.0

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Write a dump; what is no number goes SB3's way."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        assert not self._is_closed, "The SummaryWriter was closed, please re-create one."
        assert self.writer.file_writer is not None
        numbers, others = [], {}
        for key, value in sorted(key_values.items()):
            if "tensorboard" in (key_excluded[key] or ()):
                continue
            if isinstance(value, np.ScalarType) and not isinstance(value, str | bytes):
                numbers.append(Summary.Value(tag=key, simple_value=float(value)))
            else:
                others[key] = value
        if numbers:
            self.writer.file_writer.add_summary(Summary(value=numbers), step)
        if others:
            super().write(others, {key: key_excluded[key] for key in others}, step)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring everything to the disk."""
        self.writer.flush()
        self._flushed = time.monotonic()


def use_cheap_events(logger: Logger) -> None:
    """Let `Events` take the place of SB3's own format, with its writer."""
    for i, old in enumerate(logger.output_formats):
        if type(old) is TensorBoardOutputFormat:
            new = Events.__new__(Events)
            new.writer, new._is_closed = old.writer, old._is_closed
            logger.output_formats[i] = new


def flush_events(logger: Logger) -> None:
    """Bring all events to the disk."""
    for output in logger.output_formats:
        if isinstance(output, Events) and not output._is_closed:
            output.flush()
