"""What `--full` is next to the papers, and how a probe of it tells the cost: both by experiment.

Where a paper states the size of its experiments, the full grid contains them. Where it states none, or has theorems
alone, full is a grid of our own, finer or longer than the reduced one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import registry
from .registry import Item, Track

OWN = "none stated"
F_PG = "20000 updates of 2 trajectories, 25 steps at most, gamma 0.99, 16 seeds (15 in the paper), in the authors' code"
GRID: dict[str, Any] = {  # of that code
    "gamma": 0.99,
    "horizon": 25,
    "batch": 2,
    "alphas": [0.1, 0.3, 0.5, 0.7, 0.9],  # and the softmax
    "coefs": [1e-4, 1e-3, 1e-2, 0.1, 1.0],
    "steps": [0.01, 0.1, 1.0],
    "n_updates": 20000,
    "n_seeds": 16,
}


class Through(Exception):
    """The last item of a probe is done."""


@dataclass(frozen=True)
class Scale:
    """The scale of one experiment.

    Args:
        scaled: settings that the cost is linear in, together; a probe takes a fraction of each, of a list the head.
        small, large: the fractions of two probes, whose difference leaves out what is the same in both.
        changed: settings of the probes that differ besides.
        times: how many times the cost of the probes' settings that of the full ones is, because of `changed`.
        fixed_times: the same for the part of the cost that is not scaled, if that is another number.
        power: of the fraction that the cost grows with.
        stated: what the paper says of its own scale.
        covers: settings that the full ones contain therefore: as a part of a list, at least so large a number.
    """

    scaled: tuple[str, ...]
    small: float
    large: float
    changed: Mapping[str, Any] = field(default_factory=dict)
    times: float = 1.0
    fixed_times: float | None = None
    power: int = 1
    stated: str = OWN
    covers: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, full: Mapping[str, Any], fraction: float) -> dict[str, Any]:
        """Those of a probe."""
        return {**full, **{name: _part(full[name], fraction) for name in self.scaled}, **self.changed}

    def extrapolated(self, small: float, large: float) -> float:
        """The cost of the full settings, from the costs of the probes."""
        low, high = self.small**self.power, self.large**self.power
        slope = max(large - small, 0.0) / (high - low)
        fixed = max(small - slope * low, 0.0)
        return self.times * slope + (self.times if self.fixed_times is None else self.fixed_times) * fixed


def _part(value: Any, fraction: float) -> Any:
    if isinstance(value, list):
        return value[: max(1, round(fraction * len(value)))]
    return max(1, round(fraction * value))


def probe(name: str, track: Track) -> float:
    """An estimate of the processor time in seconds of an experiment's full grid, without findings and figure.

    Runs that stop at their goal stop early in the full grid only: for these it is an upper bound.
    """
    scale, experiment = SCALES[name], registry.load(name)
    settings = [scale.settings(experiment.settings(True), fraction) for fraction in (scale.small, scale.large)]
    begin(experiment, settings[0], track, cells=1)  # to load what is loaded on first use
    costs = []
    for one in settings:
        start = time.process_time()
        begin(experiment, one, track)
        costs.append(time.process_time() - start)
    return scale.extrapolated(*costs)


def begin(experiment: registry.Experiment, settings: Mapping[str, Any], track: Track, cells: int | None = None) -> None:
    """Run an experiment up to its findings, or so many of its cells only."""

    def tracked(items: Sequence[Item]) -> Iterable[Item]:
        yield from track(items[:cells])
        raise Through

    try:
        experiment.run(settings, tracked)
    except Through:
        pass


SCALES: Mapping[str, Scale] = {
    "escape_times": Scale(("points", "most_iterations"), 1 / 2000, 1 / 500),
    "f_pg_accuracy": Scale(("points",), 1 / 200, 1 / 50),
    "f_pg_blind": Scale(
        ("n_updates",), 1 / 4000, 3 / 4000, {"n_scores": 1}, stated=F_PG, covers=GRID | {"sizes": [10, 15, 20]}
    ),
    "f_pg_noise": Scale(
        ("n_updates",),
        1 / 4000,
        3 / 4000,
        {"n_scores": 1},
        stated="on CartPole: noise of 0, 0.5, 2 and 10, 25 seeds; the rest as in the authors' tabular code",
        covers=GRID | {"noises": [0.0, 0.5, 2.0, 10.0], "n_seeds": 25},
    ),
    "f_pg_projection": Scale(("n_policies",), 1 / 100, 1 / 30, {"seeds": [0], "smallest": 1e-8}, times=10.0),
    "f_pg_rate": Scale(("n_updates",), 1 / 1000, 1 / 200, {"seeds": [0, 1]}, times=10.0),
    "f_pg_stochastic": Scale(
        ("n_updates",),
        1 / 20000,
        3 / 20000,
        {"n_scores": 1},
        stated=F_PG + "; NChain of 10, 15 and 20, DeepSea of 10 and 15",
        covers=GRID | {"tasks": [["NChain", 10], ["NChain", 15], ["NChain", 20], ["DeepSea", 10], ["DeepSea", 15]]},
    ),
    "f_pg_sweep": Scale(
        ("n_updates",),
        1 / 20000,
        4 / 20000,
        {"alphas": [0.5]},
        times=3.0,
        stated="sizes, coefficients, steps and 20000 updates as in the authors' stochastic runs",
        covers={name: GRID[name] for name in ("gamma", "alphas", "coefs", "steps", "n_updates")},
    ),
    "flat_regions": Scale(
        ("points",),
        1 / 50,
        1 / 10,
        power=2,
        stated="a grid of 50 x 50 logits in [-50, 50], coefficient 1, alpha 0.1, in the authors' code",
        covers={"extent": 50.0, "points": 50, "coef": 1.0, "alpha": 0.1},
    ),
    "lco_convexity": Scale(("samples",), 1 / 1000, 1 / 200),
    "lco_dense_sparse": Scale(("n_updates", "compared"), 1 / 500, 1 / 250),
    "lco_gradients": Scale(("samples", "repeats", "descents"), 1 / 50, 3 / 50),
    "lin_spg_counterexample": Scale(("n_updates", "flow_steps"), 1 / 4000, 1 / 1000),
    "lin_spg_examples": Scale(
        ("n_updates", "flow_steps"),
        1 / 4000,
        1 / 1000,
        stated="10^6 updates; starts not given",
        covers={"n_updates": 1000000},
    ),
    "lin_spg_many_arms": Scale(
        ("flow_steps", "long_steps"),
        1 / 1000,
        1 / 250,
        {"instances": 1},
        times=50.0,
        stated="50 random instances of a kind, 10^6 updates (here the gradient flow by its length)",
        covers={"instances": 50},
    ),
    "lin_spg_rate": Scale(
        ("n_updates",), 1 / 4000, 1 / 1000, {"fit_from": 10}, stated="10^6 updates", covers={"n_updates": 1000000}
    ),
    "lin_spg_stochastic": Scale(
        ("n_updates",),
        1 / 10000,
        1 / 2500,
        stated="5 instances, 5 runs of each, 10^6 updates; the instances are not given",
        covers={"n_updates": 1000000, "runs": 25},
    ),
    "lin_spg_three_arms": Scale(
        ("flow_steps",),
        1 / 500,
        1 / 100,
        {"instances": 20},
        times=100.0,
        stated="50 random instances of a kind, 10^6 updates (here the gradient flow by its length)",
        covers={"instances": 100},
    ),
    "linear_features": Scale(
        ("n_updates",),
        1 / 1000,
        3 / 1000,
        {"features": {"CliffWalking": [80], "FrozenLake": [40]}},
        times=3.5,
        stated="CliffWorld and FrozenLake by d and m; grids and features are not given",
    ),
    "mdpo_spma": Scale(("n_updates",), 1 / 1000, 4 / 1000),
    "pl_constants": Scale(("points",), 1 / 1000, 1 / 200),
    "ppo_clip_ablation": Scale(("n_updates",), 1 / 400, 1 / 100, {"seeds": [0]}, times=20.0),
    "ppo_clip_asymmetric": Scale(("n_updates",), 1 / 500, 1 / 125, {"seeds": [0]}, times=20.0),
    "ppo_clip_divergences": Scale(("n_updates",), 1 / 3000, 1 / 500, {"seeds": [0]}, times=20.0),
    "ppo_clip_step_bound": Scale(("n_updates",), 1 / 1000, 3 / 1000),
    "spma_bandits": Scale(("spg_updates",), 1 / 10000, 1 / 2000, {"n_arms": [2], "min_gap": 0.2}, times=4.0),
    "spma_mdps": Scale(  # the updates to 1e-14 go with 1 / ((1 - gamma) gap): their sum over that of the one here
        ("most_updates",), 1 / 2000, 1 / 500, {"mdps": [[10, 4, 0.9, 0.05]]}, times=12.0, fixed_times=500.0
    ),
    "spma_superlinear": Scale(("noisy_runs",), 1 / 200, 1 / 50),
    "stochastic_bandits": Scale(
        ("n_updates",), 1 / 10000, 1 / 4000, {"noises": ["bernoulli"], "batches": [10]}, times=2.0
    ),
}
