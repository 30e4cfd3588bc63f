"""key:value arguments: what they mean, and that nothing in them runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiment.values import parse_pairs, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("-1", -1),
        ("True", True),
        ("true", True),
        ("None", None),
        ("[64, 64]", [64, 64]),
        ("(1, 2)", [1, 2]),
        ("{'a': 1}", {"a": 1}),
        ("dict(net_arch=dict(pi=[64], vf=[32]))", {"net_arch": {"pi": [64], "vf": [32]}}),
        ("dict(activation_fn=nn.ReLU)", {"activation_fn": "nn.ReLU"}),
        ("lin_3e-4", "lin_3e-4"),
        ("tsallis:0.5", "tsallis:0.5"),
        ("fast", "fast"),
        ("nan", "nan"),
        ("10**12", "10**12"),
        ("'quoted: text'", "quoted: text"),
    ],
)  # fmt: skip
def test_a_value_is_a_literal_or_a_word(text: str, value: object) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {marker}')",
        "open('{marker}', 'w')",
        "dict(a=open('{marker}', 'w'))",
        "dict(**{{'a': 1}})",
        "[x for x in (1, 2)]",
        "(lambda: open('{marker}', 'w'))()",
        "[1, 2",
        "[" * 5000,
        "x" * 20_000,
    ],
)
def test_code_is_refused_and_does_not_run(text: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(ValueError):
        parse_value(text.format(marker=marker))
    assert not marker.exists()


def test_pairs_take_a_colon_or_an_equals_sign() -> None:
    assert parse_pairs(["gamma:0.9", "head = tsallis:0.5", "x:a:b"]) == {
        "gamma": 0.9,
        "head": "tsallis:0.5",
        "x": "a:b",
    }


@pytest.mark.parametrize("item", ["gamma", "gamma:", ":0.9", "1x:2", "a b:3"])
def test_a_pair_needs_a_key_and_a_value(item: str) -> None:
    with pytest.raises(ValueError, match="key:value"):
        parse_pairs([item])


def test_a_key_counts_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_pairs(["gamma:0.9", "gamma:0.8"])
