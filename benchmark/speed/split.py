"""Where the time of training goes: CPU seconds in the environment, in acting, objective, networks and optimiser."""

from __future__ import annotations

import time
from typing import Any

PARTS = ("env", "act", "objective", "networks", "optimiser")


class Split:
    """Stop-watches around the parts of a training loop; what they don't cover is `other`.

    They cost about a third of a microsecond a call, so a run with them is not one to be timed as a whole.
    """

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._running = False

    def reset(self) -> None:
        """Start over."""
        self._seconds = dict.fromkeys(PARTS, 0.0)

    def seconds(self) -> dict[str, float]:
        """Seconds by part since the last reset."""
        return dict(self._seconds)

    def watch(self, model: Any) -> None:
        """Put the stop-watches into a model; into the fused engine once that is there."""
        env = model.env
        self._wrap(env, "step_arrays" if hasattr(type(env), "step_arrays") else "step", "env")
        self._wrap(model.policy.optimizer, "step", "optimiser")
        if hasattr(model, "engine"):
            self._wrap_engine(model)
            return
        self._wrap(model.policy, "forward", "act")
        self._wrap(model.policy, "evaluate_actions", "networks")

    def _wrap_engine(self, model: Any) -> None:
        choose = model.choose_engine
        watched: list[Any] = []

        def chosen(total_timesteps: int) -> None:
            choose(total_timesteps)
            if not any(model._fused is engine for engine in watched):  # it is asked for at each update
                watched.append(model._fused)
                self._watch(model)

        model.choose_engine = chosen

    def _watch(self, model: Any) -> None:
        fused = model._fused
        if fused is None:
            self._wrap(model.policy, "act", "act")
            self._wrap(model.policy, "evaluate", "networks")
            return
        for name in ("actor", "critic"):
            self._wrap(fused.trunk, name, "act")
        for name in ("forward", "forward_critic", "backward"):
            self._wrap(fused.trunk, name, "networks")
        self._wrap(fused.optimizer, "fused_step", "optimiser")
        self._replace(fused, "gradient", "objective")
        self._replace(fused.collect, "sampler", "act")

    def _replace(self, owner: Any, name: str, part: str) -> None:
        inner = getattr(owner, name)
        object.__setattr__(owner, name, Watched(inner, self._timed(inner, part)))  # owners are frozen

    def _wrap(self, owner: Any, name: str, part: str) -> None:
        setattr(owner, name, self._timed(getattr(owner, name), part))

    def _timed(self, function: Any, part: str) -> Any:
        clock, seconds = time.process_time, self

        def timed(*args: Any, **kwargs: Any) -> Any:
            if seconds._running:  # a part within a part, such as the network in acting, counts once
                return function(*args, **kwargs)
            seconds._running, start = True, clock()
            try:
                return function(*args, **kwargs)
            finally:
                seconds._running = False
                seconds._seconds[part] += clock() - start

        return timed


class Watched:
    """An object whose calls go through a stop-watch."""

    def __init__(self, inner: Any, call: Any) -> None:
        self._inner, self._call = inner, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
