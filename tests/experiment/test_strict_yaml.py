"""The YAML reader: plain mappings only, bounded, with the place of an error."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from experiment.errors import CommandError, ExitCode
from experiment.strict_yaml import MAX_BYTES, parse_yaml, read_yaml

LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{y}: &{y} [{','.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)
)


def problem(tmp_path: Path, text: str | bytes) -> str:
    """The message for a file with this content, which must be refused as bad usage."""
    file = tmp_path / "c.yml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CommandError) as caught:
        read_yaml(file)
    assert caught.value.code is ExitCode.USAGE
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb: [1\nc: 2", "line 3, column 2"),
        ("a: 1\nb: 2\n  c: 3", "line 3, column 4"),
        ("a: 1\nb: 1\na: 2", "line 3, column 1: duplicate key 'a'"),
        ("x: {a: 1, b: {c: 1, c: 2}}", "line 1, column 21: duplicate key 'c'"),
        ("a: !!python/object/apply:os.system ['true']", "line 1, column 4"),
        ("a: !!python/name:os.system", "line 1, column 4"),
        ("? [1, 2]\n: 3", "a key must be a plain word"),
        ("a: " + "[" * 10_000, "nested deeper than 32"),
        ("a: &x [*x]", "expands to more than"),
        (LAUGHS, "expands to more than"),
        ("- 1", "must be a mapping"),
        ("", "must be a mapping"),
        ("a: 1\n---\nb: 2", "line 2, column 1"),
        ("a" * (MAX_BYTES + 1), "larger than 128 KiB"),
        (b"a: \xff\xfe", "utf-8"),
        (b"a: \x00", "special characters"),
    ],
)
def test_what_is_refused_and_where(tmp_path: Path, text: str | bytes, place: str) -> None:
    assert place in problem(tmp_path, text)


def test_a_python_tag_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    problem(tmp_path, f"a: !!python/object/apply:os.system ['touch {marker}']")
    assert not marker.exists()


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.yml"
    with file.open("wb") as sparse:
        sparse.truncate(100 * 1024**2)
    tracemalloc.start()
    with pytest.raises(CommandError, match="larger"):
        read_yaml(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1024**2


@pytest.mark.parametrize("name", ["absent.yml", "."])
def test_a_missing_file_is_missing_input(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_yaml(tmp_path / name)
    assert caught.value.code is ExitCode.NO_INPUT


def test_numbers_and_merge_keys_mean_what_they_look_like() -> None:
    text = "base: &b {x: 1, lr: 3e-4}\nnext: &c {<<: *b, x: 2}\nlast: {<<: *c, y: !!float 1e6, z: -1.5E+3}"
    read = parse_yaml(text)
    assert read["next"] == {"x": 2, "lr": 3e-4}
    assert read["last"] == {"x": 2, "lr": 3e-4, "y": 1e6, "z": -1500.0}
