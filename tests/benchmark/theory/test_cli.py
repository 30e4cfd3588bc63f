"""python -m benchmark theory, from the command line to the files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import __main__ as benchmark
from benchmark.theory import cli, full, registry, results, table

QUICK = "f_pg_accuracy"
ROOT = Path(__file__).resolve().parents[3]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one small experiment, run as a user would."""
    folder = tmp_path_factory.mktemp("theory")
    assert cli.main(["run", QUICK, "--output", str(folder), "--jobs", "1"]) == 0
    return folder


def test_help_needs_no_heavy_imports() -> None:
    script = "import sys; from benchmark.__main__ import main; main(['--help']); main(['theory', 'list'])\n"
    script += "heavy = {'torch', 'numpy', 'matplotlib', 'gymnasium'} & set(sys.modules); assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "theory" in done.stdout
    assert QUICK in done.stdout


def test_an_unknown_command_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["teory", "list"]) == 2
    assert "unknown command 'teory', did you mean 'theory'?" in capsys.readouterr().err


def test_no_command_prints_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main([]) == 2
    assert "usage:" in capsys.readouterr().out


def test_an_unknown_experiment_names_the_closest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as error:
        cli.main(["run", "f_pg_acuracy", "--output", str(tmp_path)])
    assert error.value.code == 2
    assert f"unknown experiment 'f_pg_acuracy', did you mean '{QUICK}'?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_jobs_must_be_positive(jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", QUICK, "--jobs", jobs])
    assert f"{jobs}: must be at least 1" in capsys.readouterr().err


def test_a_run_writes_table_figure_and_findings(folder: Path) -> None:
    assert sorted(contents(folder)) == [f"{QUICK}.csv", f"{QUICK}.json", f"{QUICK}.png"]
    record = json.loads((folder / f"{QUICK}.json").read_text())
    assert record["settings"] == registry.load(QUICK).settings(False)
    assert {"claim", "paper", "verdict", "measured"} == set(record["findings"][0])
    assert (folder / f"{QUICK}.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_up_to_date_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert cli.main(["run", QUICK, "--output", str(folder)]) == 0
    assert f"{QUICK}: up to date" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times


def test_running_again_gives_the_same_bytes(folder: Path) -> None:
    before = contents(folder)
    (folder / f"{QUICK}.csv").write_text("torn")
    assert cli.main(["run", QUICK, "--output", str(folder), "--again"]) == 0
    assert contents(folder) == before


@pytest.mark.parametrize("change", ["settings", "code", "missing", "torn"])
def test_what_was_made_otherwise_is_not_up_to_date(folder: Path, tmp_path: Path, change: str) -> None:
    for name, content in contents(folder).items():
        (tmp_path / name).write_bytes(content)
    assert results.is_current(QUICK, False, tmp_path)
    assert not results.is_current(QUICK, True, tmp_path), "these are not the full results"
    path = tmp_path / f"{QUICK}.json"
    record = json.loads(path.read_text())
    if change == "settings":
        path.write_text(json.dumps(record | {"settings": record["settings"] | {"points": 3}}))
    elif change == "code":
        path.write_text(json.dumps(record | {"code": "0" * 64}))
    elif change == "torn":
        path.write_text(path.read_text()[:100])
    else:
        (tmp_path / f"{QUICK}.png").unlink()
    assert not results.is_current(QUICK, False, tmp_path)


def test_a_failing_experiment_is_told_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("not a folder")
    monkeypatch.setattr(results, "is_current", lambda *arguments: False)
    assert cli.main(["run", QUICK, "--output", str(blocked)]) == 1
    assert f"{QUICK}: failed" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_rows_with_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="columns"):
        results.table([{"a": 1, "b": 2.0}, {"a": 1}])


def test_numbers_in_a_table_have_six_digits() -> None:
    assert results.table([{"n": 3, "x": 1 / 3, "s": "x", "i": float("inf")}]) == "n,x,s,i\n3,0.333333,x,inf\n"


def test_the_page_gets_the_findings(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "theory.md"
    page.write_text(f"before\n\n{table.BEGIN}stale\n{table.END}\n{full.BEGIN}{full.END}\nafter\n")
    assert table.update(folder, check=True, page=page) == 1
    assert "run: python -m benchmark theory table" in capsys.readouterr().err
    assert table.update(folder, page=page) == 0
    text = page.read_text()
    assert text.startswith("before\n\n") and text.endswith("\nafter\n") and "stale" not in text
    claim = json.loads((folder / f"{QUICK}.json").read_text())["findings"][0]["claim"]
    assert f"| {claim} |" in text
    assert f"| {QUICK} | none stated | not estimated | not run |" in text
    assert table.update(folder, check=True, page=page) == 0
    page.write_text("no markers")
    assert table.update(folder, page=page) == 1


@pytest.mark.parametrize("name", [path.stem for path in sorted(results.RESULTS.glob("*.json"))])
def test_the_committed_results_are_those_of_the_committed_experiments(name: str) -> None:
    assert results.is_current(name, False, results.RESULTS), f"run: python -m benchmark theory run {name}"


def test_the_committed_page_shows_the_committed_findings() -> None:
    assert table.update(results.RESULTS, check=True) == 0
