"""The full grids: at the scale that the papers state, begun, resumed after an interruption, and told on the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.theory import cells, costs, full, iterate, registry, results, runner, scale
from benchmark.theory.cells import Cells
from benchmark.theory.costs import Cost
from benchmark.theory.registry import Item
from benchmark.theory.scale import SCALES, Scale

NAMES = registry.names()


def silent(items: Sequence[Item]) -> Iterable[Item]:
    return items


def test_every_experiment_has_a_scale() -> None:
    assert list(SCALES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_full_grid_contains_what_the_paper_states(name: str) -> None:
    settings = registry.load(name).settings(True)
    for setting, stated in SCALES[name].covers.items():
        chosen = settings[setting]
        if isinstance(stated, list):
            assert [value for value in stated if value not in chosen] == [], setting
        elif isinstance(stated, int):
            assert (len(chosen) if isinstance(chosen, list) else chosen) >= stated, setting
        else:
            assert chosen == stated, setting


@pytest.mark.parametrize("name", NAMES)
def test_a_full_grid_is_no_smaller_than_the_reduced_one(name: str) -> None:
    experiment = registry.load(name)
    reduced, grown = experiment.settings(False), experiment.settings(True)
    for setting in experiment.full:
        less, more = reduced[setting], grown[setting]
        if isinstance(less, list):
            assert len(more) >= len(less), setting
        elif isinstance(less, int):
            assert more >= less, setting


@pytest.mark.parametrize("name", NAMES)
def test_a_full_grid_can_be_begun(name: str) -> None:
    experiment, found = registry.load(name), SCALES[name]
    settings = found.settings(experiment.settings(True), found.small)
    assert settings.keys() == experiment.settings(True).keys(), "a probe changes settings that exist"
    scale.begin(experiment, settings, silent, cells=1)


def test_an_estimate_is_linear_in_what_is_scaled_and_leaves_out_what_is_not() -> None:
    found = Scale(("n", "seeds"), 0.01, 0.05, {"fixed": 1}, times=3.0)
    assert found.settings({"n": 1000, "seeds": [*range(100)], "fixed": 7}, 0.05) == {
        "n": 50,
        "seeds": [*range(5)],
        "fixed": 1,
    }
    assert found.extrapolated(4.0 + 0.01 * 20.0, 4.0 + 0.05 * 20.0) == pytest.approx(3.0 * 24.0)
    apart = Scale(("n",), 0.01, 0.05, times=3.0, fixed_times=10.0)
    assert apart.extrapolated(4.0 + 0.01 * 20.0, 4.0 + 0.05 * 20.0) == pytest.approx(3.0 * 20.0 + 10.0 * 4.0)
    squared = Scale(("n",), 0.1, 0.2, power=2)
    assert squared.extrapolated(0.01 * 7.0, 0.04 * 7.0) == pytest.approx(7.0)


def test_an_interrupted_computation_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "LONG", 0.0)
    calls: list[float] = []

    def halved(theta: np.ndarray) -> np.ndarray:
        calls.append(float(theta[0]))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return theta / 2.0

    def experiment() -> list[tuple[np.ndarray, np.ndarray]]:
        starts = np.array([1.0]), np.array([3.0])
        return [iterate.curve(halved, lambda theta: theta, start, 3) for start in starts]

    with pytest.raises(KeyboardInterrupt), Cells("x", tmp_path, {"full": True}).resumable():
        experiment()
    assert calls == [1.0, 0.5, 0.25, 3.0, 1.5]
    later = Cells("x", tmp_path, {"full": True})
    with later.resumable():
        resumed = experiment()
    assert calls[5:] == [3.0, 1.5, 0.75], "only the second curve is computed again"
    for (values, theta), (same, last) in zip(resumed, experiment(), strict=True):
        assert (values == same).all() and theta == last
    with Cells("x", tmp_path, {"full": False}).resumable():
        experiment()
    assert len(calls) == 5 + 3 + 6 + 6, "other settings find nothing"
    later.clear()
    assert len(list((tmp_path / ".cells").iterdir())) == 1


def test_short_computations_are_not_kept(tmp_path: Path) -> None:
    with Cells("x", tmp_path, {}).resumable():
        iterate.curve(lambda theta: theta, lambda theta: theta, np.zeros(1), 3)
    assert not list(tmp_path.iterdir())


def test_costs_are_recorded_one_by_one(tmp_path: Path) -> None:
    costs.record("b", tmp_path, Cost(90.0, 300, measured=True))
    costs.record("a", tmp_path, Cost(36000.0, 400, measured=False))
    costs.record("b", tmp_path, Cost(150.0, 300, measured=True))
    found = costs.read(tmp_path)
    assert list(found) == ["a", "b"]
    assert (str(found["a"]), str(found["b"])) == ("about 10 h", "2.5 min")
    assert costs.read(tmp_path / "nowhere") == {}


def test_an_estimate_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runner.estimate(["lco_convexity"], tmp_path, 1) == 0
    cost = costs.read(tmp_path)["lco_convexity"]
    assert not cost.measured and cost.seconds > 0.0 and cost.megabytes > 50
    assert [path.name for path in tmp_path.iterdir()] == [costs.NAME]
    monkeypatch.setattr(results, "is_current", lambda *arguments: True)
    costs.record("lco_convexity", tmp_path, Cost(1.0, 2, measured=True))
    assert runner.estimate(["lco_convexity"], tmp_path, 1) == 0
    assert costs.read(tmp_path)["lco_convexity"].measured, "what was measured is not estimated again"


def test_the_page_tells_which_verdicts_changed(tmp_path: Path) -> None:
    def write(folder: Path, *verdicts: str) -> None:
        found: list[dict[str, Any]] = [
            {"claim": f"claim {i}", "verdict": verdict, "measured": "x"} for i, verdict in enumerate(verdicts)
        ]
        folder.mkdir(exist_ok=True)
        (folder / f"{NAMES[0]}.json").write_text(json.dumps({"findings": found}))

    write(tmp_path, "holds", "holds")
    assert full.verdicts(NAMES[0], tmp_path) == "not run"
    write(tmp_path / "full", "holds", "holds")
    assert full.verdicts(NAMES[0], tmp_path).endswith("; all 2 the same")
    write(tmp_path / "full", "holds", "fails as stated")
    told = full.verdicts(NAMES[0], tmp_path)
    assert told.endswith("; 1 of 2 the same; changed: claim 1: **fails as stated** (reduced grid: holds): x")
    assert "an earlier text" in told
    assert f"| {NAMES[0]} | {SCALES[NAMES[0]].stated} | not estimated |" in full.rows(tmp_path)
