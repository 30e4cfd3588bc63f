"""The committed figures of stepping, what `auto` makes of them, and their table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.speed import stepping, tables
from benchmark.speed.stepping import LIMITS, MARKERS, TASKS, Task
from envs.backends.choice import NATIVE_PAYS_FROM

ROOT = Path(stepping.__file__).resolve().parents[2]
ROWS = tables.read(ROOT / stepping.OUTPUT)
RATIOS = {(row["env"], int(row["n_envs"]), row["contender"]): float(row["ratio"]) for row in ROWS}


def test_every_task_was_measured() -> None:
    for task in TASKS:
        for n_envs in task.sizes:
            measured = {name for env_id, n, name in RATIOS if (env_id, n) == (task.env_id, n_envs)}
            assert {"bare", *task.contenders} - {"envpool"} <= measured


def test_the_committed_figures_are_within_the_limits() -> None:
    limited = {(row["env"], int(row["n_envs"]), row["contender"]): row for row in ROWS if row["limit"]}
    assert {key: float(row["limit"]) for key, row in limited.items()} == LIMITS
    for row in limited.values():
        assert float(row["ratio"]) <= float(row["limit"])


def test_auto_is_the_cheapest_measured() -> None:
    for n_envs in next(task.sizes for task in TASKS if task.env_id == "CartPole-v1"):
        cheaper = RATIOS["CartPole-v1", n_envs, "native"] < RATIOS["CartPole-v1", n_envs, "inprocess"]
        assert cheaper == (n_envs >= NATIVE_PAYS_FROM)
    for n_envs in (1, 8):
        assert RATIOS["ALE/Pong-v5", n_envs, "ale"] < RATIOS["ALE/Pong-v5", n_envs, "inprocess"]


def test_the_document_has_these_figures() -> None:
    text = (ROOT / stepping.PAGE).read_text(encoding="utf-8")
    assert stepping.table(ROWS) in text.split(MARKERS[0])[1].split(MARKERS[1])[0]


def test_measuring_and_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = Task("NChain-v0", (2,), {"inprocess": {"backend": "inprocess"}, "native": {"backend": "native"}})
    rows = stepping.measure(task, 2, rounds=2, seconds=1e-4)
    assert [row["contender"] for row in rows] == ["bare", "inprocess", "SB3 Dummy + Monitor"]
    assert all(float(row["microseconds"]) > 0 for row in rows)
    assert rows[0]["ratio"] == "1.00"
    assert "without native: backend='native' has no NChain-v0" in capsys.readouterr().out
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKERS[0]}old\n{MARKERS[1]}after\n")
    for _ in range(2):
        stepping.write_table(rows, page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count("| NChain-v0 | inprocess |") == 1


def test_actions_of_every_task() -> None:
    assert stepping.actions_for("HalfCheetah-v5", 2, 3).shape == (3, 2, 6)
    actions = stepping.actions_for("CartPole-v1", 4, 50)
    assert set(np.unique(actions)) == {0, 1}
