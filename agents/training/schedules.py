"""Scalars that move during training: "lin_x" strings, callables, and the tensors that objectives hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

Schedule = Callable[[float], float]


@dataclass(frozen=True)
class LinearSchedule:
    """initial * fraction, the zoo's "lin_3e-4": falls from `initial` to 0 as the fraction goes from 1 to 0."""

    initial: float

    def __call__(self, fraction: float) -> float:
        return self.initial * max(fraction, 0.0)

    @classmethod
    def parse(cls, text: str) -> LinearSchedule:
        """From "lin_<number>".

        Raises:
            ValueError: if the text has another form.
        """
        prefix, _, number = text.partition("_")
        try:
            if prefix == "lin":
                return cls(float(number))
        except ValueError as error:
            raise ValueError(f"schedule {text!r}: {number!r} is not a number; the form is 'lin_<number>'") from error
        raise ValueError(f"schedule {text!r}: the form is 'lin_<number>', as in 'lin_3e-4'")


def is_linear(value: object) -> bool:
    """Whether `value` is a well-formed "lin_x" string."""
    if not isinstance(value, str):
        return False
    try:
        LinearSchedule.parse(value)
    except ValueError:
        return False
    return True


def to_schedule(value: float | str | Schedule) -> float | Schedule:
    """A "lin_x" string as a LinearSchedule; numbers and callables as they are."""
    return LinearSchedule.parse(value) if isinstance(value, str) else value


class Scalar:
    """A scheduled hyperparameter: a 0-d float64 tensor that the loop moves and the objective reads.

    The objective is built once around `tensor`; `update` moves it in place. Float64 keeps 1 - clip_range exact to
    rounding, and a 0-d tensor does not promote float32 batches.
    """

    def __init__(self, value: float | str | Schedule, device: torch.device | str = "cpu") -> None:
        self.tensor = torch.zeros((), dtype=torch.float64, device=device)
        self.update(1.0, value)

    def update(self, fraction: float, value: float | str | Schedule | None = None) -> None:
        """Set the tensor to the schedule's value at `fraction` (1 at the start of training, towards 0 at its end).

        A `value` that is given is the schedule from now on. "auto" is the algorithm's own business: 1 until it decides.
        """
        if value is not None:
            self.value = value
            self.schedule = 1.0 if value == "auto" else to_schedule(value)
        self.tensor.fill_(self.schedule(fraction) if callable(self.schedule) else self.schedule)
