"""What is done with the measurements of training; the times themselves are nobody's business here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.speed import cli, learning, report, tables
from benchmark.speed.tasks import CONTENDERS, TASKS
from benchmark.speed.turns import Turn, Worker, summary


def turns(*cpu: float) -> list[Turn]:
    return [Turn(c, 2 * c, 300.0, {}) for c in cpu]


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    rows = summary("cartpole-32", {"sb3 ppo": turns(100, 200, 150), "ppo": turns(10, 10, 30)}, {"ppo": {"env": 3.0}})
    baseline, ours = rows
    assert (baseline["ratio"], ours["ratio"]) == (1.0, 10.0)  # of 10, 20, 5
    assert (ours["cpu"], ours["cpu_min"], ours["cpu_max"], ours["wall"]) == (10, 10, 30, 20)
    assert (ours["env"], ours["other"], ours["at_least"]) == (3.0, "", 5.5)


def test_what_is_measured_again_replaces_its_rows(tmp_path: Path) -> None:
    table = tmp_path / "training.csv"
    first = summary("pong", {"sb3 ppo": turns(4000), "ppo": turns(2000)}, {})
    tables.write(table, report.COLUMNS, first)
    added = report.replace_rows(tables.read(table), summary("cartpole-32", {"ppo": turns(20)}, {}))
    tables.write(table, report.COLUMNS, added)
    again = report.replace_rows(tables.read(table), summary("pong", {"ppo": turns(1000)}, {}))
    assert [(row["task"], row["contender"], float(row["cpu"])) for row in again] == [
        ("cartpole-32", "ppo", 20),
        ("pong", "sb3 ppo", 4000),
        ("pong", "ppo", 1000),
    ]
    report.draw(first, tmp_path / "training.png")
    assert (tmp_path / "training.png").stat().st_size > 1000


def test_tasks_on_a_gpu_have_a_figure_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "a GPU")
    rows = summary("pong-gpu", {"sb3 ppo": turns(700), "ppo": turns(200)}, {})
    assert rows[0]["machine"].startswith("a GPU, ") and rows[0]["aim"] == ""
    report.draw(rows, tmp_path / "cpu.png")
    report.draw_gpu(rows, tmp_path / "gpu.png")
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.png"]
    assert "Pong" not in report.readme_table(rows)


def test_the_readmes_table_stands_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{report.MARKS[0]}\nold\n{report.MARKS[1]}\nafter\n")
    report.update_readme(summary("cartpole-32", {"sb3 ppo": turns(150), "ppo": turns(15)}, {}), page)
    text = page.read_text()
    assert "| CartPole-v1, 8 x 32 | 150 | 15 | 10.0x |" in text
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text


def test_a_worker_takes_turns_and_ends() -> None:
    worker = Worker("cartpole-128", "bare steps")
    try:
        worker.wait()
        turn = worker.turn()
    finally:
        worker.close()
    assert 0 < turn.cpu and 0 < turn.wall and turn.peak_mb > 10


def test_every_contender_takes_part_somewhere() -> None:
    for contender in CONTENDERS.values():
        assert any(contender.takes_part(task) for task in TASKS.values())


def test_intervals_are_students() -> None:
    mean, half = learning.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / 3**0.5, rel=1e-6)


def test_an_unknown_part_is_refused_with_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trainning"]) == 2
    assert "did you mean 'training'?" in capsys.readouterr().err
