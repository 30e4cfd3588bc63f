"""Values to plain values and back: nothing is lost, and what would be is refused."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium import spaces

from envs.state import UnsavedError, flatten, unflatten
from envs.state.decode import Decoder
from envs.state.encode import Encoder


class Phase(Enum):
    OPEN, SHUT = 1, 2


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Level:
    height: float


class Box:
    """Any object of Python."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def moved(value: Any, target: Any) -> Any:
    """`value` as plain values through JSON and arrays, put where `target` is."""
    values, arrays = flatten({"value": Encoder().encode(value, "value")})
    return Decoder().decode(unflatten(values, arrays)["value"], target, "value")


VALUES: list[Any] = [
    None,
    True,
    -(2**200),
    1e-320,
    float("inf"),
    "text",
    b"\x00\xff",
    np.float32(0.1),
    np.int16(-3),
    np.bool_(True),
    np.str_("s"),
    (1, ("a", [2.5, None])),
    [float(k) for k in range(20)],
    deque([1, 2, 3], maxlen=3),
    {3: "three", (1, 2): [4], "nested": {"deep": {5}}},
    frozenset({1, 2}),
    set(),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values(value: Any) -> None:
    result = moved(value, None)
    assert result == value
    assert type(result) is type(value)
    assert getattr(result, "maxlen", None) == getattr(value, "maxlen", None)


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(12)[::3],
    np.array(["ab", "c"]),
    np.array([[b"S", b"G"]]),
    np.array(5),
    np.zeros((0, 4), np.float32),
    np.array([1 + 2j]),
    np.array([1, 2], ">i4"),
    np.array([np.nan, -0.0]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_and_their_layout(array: np.ndarray) -> None:
    result = moved(array, None)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)
    if array.ndim > 1 and array.size:
        assert result.strides == array.strides
    assert result.flags.writeable
    assert not np.shares_memory(result, array)


def make_generators() -> list[Any]:
    kinds = (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)
    own = [np.random.Generator(kind(7)) for kind in kinds]
    return [*own, np.random.RandomState(3), random.Random(4)]


@pytest.mark.parametrize("rng", make_generators(), ids=lambda rng: type(getattr(rng, "bit_generator", rng)).__name__)
def test_generators_go_on(rng: Any) -> None:
    draw = rng.gauss if isinstance(rng, random.Random) else rng.normal
    draw(0, 1)
    copy = moved(rng, None)
    draw_copy = copy.gauss if isinstance(rng, random.Random) else copy.normal
    assert [draw(0, 1) for _ in range(9)] == [draw_copy(0, 1) for _ in range(9)]
    if isinstance(rng, np.random.Generator):
        assert rng.spawn(2)[1].random() == copy.spawn(2)[1].random()
        assert rng.spawn(1)[0].random() == copy.spawn(1)[0].random()


def test_objects_are_filled_in_and_keep_what_they_share() -> None:
    rng, shared = np.random.default_rng(1), [1]
    source: Any = Box(a=rng, b=rng, child=Box(list=shared), list=shared)
    source.phase, source.pair, source.level, source.child.parent = Phase.SHUT, Pair(1, [2]), Level(2.0), source
    child: Any = Box(list=None, gone=1)
    old_level = Level(1.0)
    target: Any = Box(a=None, b=None, child=child, phase=Phase.OPEN, pair=Pair(0, 0), level=old_level, superfluous=3)
    assert moved(source, target) is target
    assert target.child is child
    assert target.child.parent is target
    assert target.a is target.b
    assert target.a.random() == rng.random()
    assert target.list is target.child.list == [1]
    assert (target.phase, target.pair, target.level) == (Phase.SHUT, Pair(1, [2]), Level(2.0))
    assert old_level == Level(1.0)  # others may share it
    assert not hasattr(target, "superfluous")
    assert not hasattr(child, "gone")


def test_spaces_keep_their_generators_only() -> None:
    def make() -> spaces.Dict:
        return spaces.Dict(a=spaces.Discrete(100), b=spaces.Tuple([spaces.Box(0, 1, (3,)), spaces.MultiBinary(9)]))

    source, target = make(), make()
    source.seed(4)
    source.sample()
    assert moved(source, target) is target
    assert str(source.sample()) == str(target.sample())


array = np.arange(10.0)


@pytest.mark.parametrize(
    "value",
    [
        iter([]),
        (k for k in (1, 2)),
        memoryview(b""),
        np.array([object()]),
        np.zeros(2, [("x", "f4")]),
        [array, array[2:]],
        type("Slots", (), {"__slots__": ("x",)})(),
        type("Number", (int,), {})(3),
        random.SystemRandom(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_not_be_saved_exactly_is_refused(value: Any) -> None:
    with pytest.raises((UnsavedError, NotImplementedError)):
        Encoder().encode(Box(value=value), "box")


def test_parts_of_one_array_that_do_not_overlap_are_two_arrays() -> None:
    left, right = moved([array[:5], array[5:]], None)
    left[0] = -1
    np.testing.assert_array_equal(right, array[5:])


@pytest.mark.parametrize(
    ("value", "target", "message"),
    [
        (Box(), 3, "was .*Box, it is builtins.int"),
        (Phase.OPEN, None, "was an Enum"),
        (Level(1.0), None, "was .*Level"),
        (Pair(1, 2), (1, 2), "was a named tuple"),
        (spaces.Discrete(2), None, "was a space"),
        (np.dtype("f4"), np.dtype("f8"), r"was dtype\('float32'\)"),
    ],
)
def test_places_that_do_not_fit(value: Any, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        moved(value, target)


@pytest.mark.parametrize("value", [{1: 2}, {"$a": 1}, (1,), np.float64(1), object()])
def test_flatten_refuses_what_is_not_plain(value: Any) -> None:
    with pytest.raises(TypeError, match="state/value"):
        flatten({"value": value})


def test_unflatten_names_a_missing_array() -> None:
    values, arrays = flatten({"a": [np.zeros(2), b"x"]})
    assert set(arrays) == {"state/a/0", "state/a/1"}
    with pytest.raises(ValueError, match="'state/a/1' is missing"):
        unflatten(values, {"state/a/0": arrays["state/a/0"]})
