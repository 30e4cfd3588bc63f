"""What each constructor argument may be: one table, read by the classes and by the command line."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real

from ..suggest import closest
from .schedules import LinearSchedule, is_linear


@dataclass(frozen=True)
class Number:
    """The interval a scalar must lie in; `optional` admits None, `schedule` a callable or "lin_x" string."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    integer: bool = False
    optional: bool = False
    schedule: bool = False
    auto: bool = False

    def problem(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        if value is None:
            return None if self.optional else f"must be {self}"
        if (self.schedule and callable(value)) or (self.auto and value == "auto"):
            return None
        if self.schedule and is_linear(value):
            value = LinearSchedule.parse(str(value)).initial
        if isinstance(value, bool) or not isinstance(value, Real):
            return f"must be {self}"
        number = float(value)
        if math.isnan(number) or (self.integer and not number.is_integer()):
            return f"must be {self}"
        below = number <= self.low if self.open_low else number < self.low
        above = number >= self.high if self.open_high else number > self.high
        return f"must be {self}" if below or above else None

    def __str__(self) -> str:
        kind = "an integer" if self.integer else "a number"
        left, right = "(" if self.open_low or self.low == -math.inf else "[", ")" if self.open_high else "]"
        if self.high == math.inf and self.low > -math.inf:
            text = f"{kind} {'>' if self.open_low else '>='} {self.low:g}"
        else:
            text = f"{kind} in {left}{self.low:g}, {self.high:g}{right}"
        if self.schedule:
            text += ', a schedule such as "lin_3e-4" or a callable'
        return text + (', or "auto"' if self.auto else "") + (", or None" if self.optional else "")


@dataclass(frozen=True)
class Flag:
    """A boolean argument."""

    def problem(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        return None if isinstance(value, bool) else "must be True or False"


def _positive(**more: bool) -> Number:
    return Number(low=0, open_low=True, high=math.inf, open_high=True, **more)


def _non_negative(**more: bool) -> Number:
    return Number(low=0, high=math.inf, open_high=True, **more)


def _count(low: int = 1) -> Number:
    return Number(low=low, integer=True, open_high=True)


ARGUMENTS: dict[str, Number | Flag] = {
    "learning_rate": _positive(schedule=True),
    "n_steps": _count(),
    "batch_size": _count(),
    "n_epochs": _count(),
    "n_envs": _count(),
    "n_timesteps": _count(),
    "gamma": Number(0, 1),
    "gae_lambda": Number(0, 1),
    "clip_range": Number(0, 1, open_low=True, open_high=True, schedule=True),
    "clip_range_high": _positive(optional=True, schedule=True),
    "clip_range_vf": _positive(optional=True, schedule=True),
    "eta": Number(low=0, open_low=True, open_high=True, schedule=True, auto=True),
    "beta": _positive(schedule=True),
    "beta_negative": _positive(optional=True, schedule=True),
    "n_critic_updates": _count(0),
    "cg_max_steps": _count(),
    "cg_damping": _non_negative(),
    "line_search_shrinking_factor": Number(0, 1, open_low=True, open_high=True),
    "line_search_max_iter": _count(),
    "c": Number(0, 1, open_low=True, open_high=True),
    "max_step_size": _positive(),
    "shrink": Number(0, 1, open_low=True, open_high=True),
    "growth": Number(low=1, open_high=True),
    "max_tries": _count(),
    "normalize_advantage": Flag(),
    "ent_coef": _non_negative(schedule=True),
    "vf_coef": _non_negative(),
    "max_grad_norm": Number(low=0, open_low=True, optional=True),
    "target_kl": _positive(optional=True),
    "reg_coef": _non_negative(schedule=True),
    "temperature": _positive(),
    "stats_window_size": _count(),
    "seed": Number(0, 2**32 - 1, integer=True, optional=True),
}


def check_arguments(values: Mapping[str, object]) -> None:
    """Refuse the first value outside its range; names without a scalar range pass.

    Raises:
        ValueError: naming the argument, the value and what is allowed.
    """
    for name, value in values.items():
        problem = ARGUMENTS[name].problem(value) if name in ARGUMENTS else None
        if problem is not None:
            raise ValueError(f"{name}={value!r}: {problem}")


def check_settings(argument: str, settings: Mapping[str, object], target: Callable[..., object]) -> None:
    """Refuse a setting that `target` does not take, or a value out of range; its first parameter isn't the user's.

    Raises:
        ValueError: naming the setting, with the closest one.
    """
    known = list(inspect.signature(target).parameters)[1:]
    for name in settings:
        if name not in known:
            raise ValueError(f"{argument}: unknown {name!r}{closest(name, known)}; there is {', '.join(known)}")
        if problem := ARGUMENTS[name].problem(settings[name]):
            raise ValueError(f"{argument}: {name}={settings[name]!r}: {problem}")


def check_batch(n_steps: int, n_envs: int, batch_size: int, normalize_advantage: bool, warn: bool = True) -> None:
    """Refuse a rollout too small for its minibatches; warn when minibatches don't divide it.

    Raises:
        ValueError: naming the sizes.
    """
    rollout = n_steps * n_envs
    if normalize_advantage and rollout < 2:
        raise ValueError(
            f"n_steps={n_steps} x n_envs={n_envs}: a rollout of one step has no advantage standard deviation; "
            "raise n_steps or n_envs, or set normalize_advantage=False"
        )
    if normalize_advantage and batch_size < 2:
        raise ValueError(f"batch_size={batch_size!r}: must be at least 2 when normalize_advantage=True")
    if batch_size > rollout:
        raise ValueError(f"batch_size={batch_size} is larger than the rollout, n_steps x n_envs = {n_steps} x {n_envs}")
    if warn and rollout % batch_size:
        warnings.warn(
            f"batch_size={batch_size} does not divide the rollout, n_steps x n_envs = {n_steps} x {n_envs}: "
            f"each epoch ends with a minibatch of {rollout % batch_size}",
            stacklevel=2,
        )
