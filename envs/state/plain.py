"""Arrays and random generators as plain values, to the bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

_STORABLE = frozenset("?bhilqBHILQefd")  # dtype characters that every format for arrays knows
_BITS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


class UnsavedError(ValueError):
    """Something that can't be saved exactly; the message says what and where it sits."""


def encode_array(array: np.ndarray, where: str) -> Any:
    """A copy of the array, with its memory layout if that is not the usual one: sums depend on it."""
    if array.dtype.hasobject or array.dtype.names:
        raise UnsavedError(f"{where}: an array of dtype {array.dtype} can't be saved")
    axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis]) if array.size else []
    usual = array.flags.c_contiguous
    body = np.array(array if usual else array.transpose(axes), order="C")
    if usual and array.dtype.isnative and array.dtype.char in _STORABLE:
        return body
    return {
        "kind": "array",
        "dtype": array.dtype.str,
        "shape": list(body.shape),
        "axes": None if usual else axes,
        "bytes": body.tobytes(),
    }


def decode_array(saved: Any, where: str) -> np.ndarray:
    """A new array as `encode_array` saw it. ValueError for a dtype that holds objects."""
    if isinstance(saved, np.ndarray):
        return np.array(saved, order="C")
    dtype = np.dtype(saved["dtype"])
    if dtype.hasobject:
        raise ValueError(f"state: {where} has dtype {dtype}")
    body = np.frombuffer(saved["bytes"], dtype).reshape(saved["shape"]).copy()
    return body if saved["axes"] is None else body.transpose(np.argsort(saved["axes"]))


def encode_generator(rng: np.random.Generator | np.random.RandomState | random.Random, where: str) -> dict[str, Any]:
    """Everything that the next draws, and the next `spawn`, depend on."""
    if isinstance(rng, random.Random):
        version, words, gauss = rng.getstate()
        if type(rng) is not random.Random:
            raise UnsavedError(f"{where}: a generator of class {type(rng).__name__} can't be saved")
        return _generator("Random", {"version": version, "words": np.array(words, np.uint64), "gauss": gauss})
    if isinstance(rng, np.random.RandomState):
        state: Any = rng.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            raise UnsavedError(f"{where}: a RandomState of {state['bit_generator']} can't be saved")
        return _generator("RandomState", _plain(state))
    bits, seeds = rng.bit_generator, rng.bit_generator.seed_seq
    if type(bits).__name__ not in _BITS:
        raise UnsavedError(f"{where}: a generator of {type(bits).__name__} can't be saved")
    saved = _generator("Generator", _plain(bits.state))
    if isinstance(seeds, np.random.SeedSequence):
        entropy = seeds.entropy if seeds.entropy is None or isinstance(seeds.entropy, int) else list(seeds.entropy)
        saved["seeds"] = _plain(
            {
                "entropy": entropy,
                "spawn_key": list(seeds.spawn_key),
                "pool_size": seeds.pool_size,
                "n_children_spawned": seeds.n_children_spawned,
            }
        )
    return saved


def decode_generator(saved: dict[str, Any], where: str) -> np.random.Generator | np.random.RandomState | random.Random:
    """A new generator that goes on where the saved one was."""
    state = saved["state"]
    if saved["class"] == "Random":
        result = random.Random()
        result.setstate((state["version"], tuple(state["words"].tolist()), state["gauss"]))
        return result
    if saved["class"] == "RandomState":
        legacy = np.random.RandomState()
        legacy.set_state(state)
        return legacy
    if state["bit_generator"] not in _BITS:
        raise ValueError(f"state: {where} is a generator of unknown kind {state['bit_generator']!r}")
    bits = getattr(np.random, state["bit_generator"])(np.random.SeedSequence(**saved.get("seeds", {"entropy": 0})))
    bits.state = state
    return np.random.Generator(bits)


def _generator(name: str, state: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "generator", "class": name, "state": state}


def _plain(value: Any) -> Any:
    """A generator's state without NumPy's scalars and tuples."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return value.copy()
    return value.item() if isinstance(value, np.generic) else value
