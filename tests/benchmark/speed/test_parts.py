"""What the smaller parts of the speed benchmark make of their measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.speed import load, pong, startup, tables
from benchmark.speed.turns import Turn


def test_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    assert tables.read(path) == []
    tables.write(path, ("name", "number"), [{"name": "a, b", "number": 1.23456}, {"name": "c", "number": 7}])
    assert tables.read(path) == [{"name": "a, b", "number": "1.235"}, {"name": "c", "number": "7"}]


def test_starts_are_summed_up_by_their_medians() -> None:
    name = "train.py, warm caches"
    row = startup.row(name, [startup.Start(2.0, 1.0), startup.Start(9.0, 8.0), startup.Start(3.0, 2.0)])
    assert (row["wall"], row["wall_min"], row["wall_max"], row["cpu"], row["limit"]) == (3, 2, 9, 2, 3)
    assert startup.row("importing torch", [startup.Start(1.0, 1.0)])["limit"] == ""


def test_the_rise_is_the_median_of_the_pairs_rises() -> None:
    pairs = [(Turn(alone, 0, 0, {}), Turn(busy, 0, 0, {})) for alone, busy in ((10, 11), (20, 40), (5, 6))]
    row = load.row("cartpole-32", "ppo", pairs)
    assert (row["alone"], row["busy"], row["rise"], row["rise_min"], row["rise_max"]) == (10, 11, 1.2, 1.1, 2)
    assert row["limit"] == load.LIMIT and load.row("cartpole-32", "sb3 ppo", pairs)["limit"] == ""


def monitor(path: Path, returns: list[float], length: int, delay: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{ret},{length},{delay + i}" for i, ret in enumerate(returns)]
    path.write_text("\n".join(["#{}", "r,l,t", *lines, ""]))


def test_curves_of_pong_come_from_the_monitor_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    assert pong.main(["--train", "--folder", str(runs), "--output", str(tmp_path)]) == 1
    for seed in range(2):
        run = runs / "fp32" / "ppo" / f"{pong.ENV}_{seed + 1}"
        for env in range(2):
            monitor(run / f"{env}.monitor.csv", [-20.0] * 50 + [20.0 - 30 * seed] * 50, 10, env / 2)
        (run / "run.json").write_text(json.dumps({"config": {"seed": seed}}))
    earlier = {"precision": "of an earlier version", "seed": 0, "steps": 7, "return": "-21.00"}
    stale = {"precision": "fp32", "seed": 0, "steps": 8, "return": "-21.00"}
    tables.write(tmp_path / "pong.csv", pong.COLUMNS, [earlier, stale])
    assert pong.main(["--train", "--folder", str(runs), "--output", str(tmp_path)]) == 0
    rows = [tuple(row.values()) for row in tables.read(tmp_path / "pong.csv")]
    assert rows[0] == ("of an earlier version", "0", "7", "-21.00")
    assert rows[1:6] == [("fp32", "0", f"{1000 + 250 * i}", f"{-20 + 10 * i:.2f}") for i in range(5)]
    assert rows[6:] == [("fp32", "1", f"{1000 + 250 * i}", f"{-20 + 2.5 * i:.2f}") for i in range(5)]
    said = capsys.readouterr().out
    assert "seed 0: 20.00 at step 2,000; above 0 from step 1,750" in said
    assert "seed 1: -10.00 at step 2,000; not above 0 yet" in said
    assert (tmp_path / "pong.png").stat().st_size > 1000
