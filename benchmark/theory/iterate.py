"""Update rules in a loop: curves, and the iterations that many runs side by side need to a goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from agents.tabular.checks import Array

from .cells import kept


@kept
def curve(
    update: Callable[[Array], Array], measure: Callable[[Array], Array], theta: Array, n_updates: int
) -> tuple[Array, Array]:
    """measure(theta) [n_updates + 1, ...] before each update and after the last, and the last theta."""
    values = [measure(theta)]
    for _ in range(n_updates):
        theta = update(theta)
        values.append(measure(theta))
    return np.array(values), theta


@kept
def hitting_times(
    update: Callable[[Array, np.ndarray], Array],
    measure: Callable[[Array], Array],
    theta: Array,
    levels: Sequence[float],
    n_updates: int,
) -> Array:
    """How many updates until measure(theta) [R] is at most each of the levels: [R, L], inf if never.

    Runs [R] that are through with all levels stop; update(theta, runs) gets the indices of those that go on.
    """
    times = np.full((len(theta), len(levels)), np.inf)
    runs = np.arange(len(theta))
    for t in range(n_updates + 1):
        reached = measure(theta)[:, None] <= np.asarray(levels)
        times[runs] = np.minimum(times[runs], np.where(reached, t, np.inf))
        goes_on = ~reached.all(1)
        runs, theta = runs[goes_on], theta[goes_on]
        if not len(runs) or t == n_updates:
            break
        theta = update(theta, runs)
    return times
