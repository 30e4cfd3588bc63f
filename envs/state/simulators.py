"""The simulators that keep their state outside Python: MuJoCo's MjData, and the Atari emulator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .plain import UnsavedError


class Adapter(NamedTuple):
    """How to save one class of objects, and to load into an existing one."""

    kind: str
    package: str  # the distribution on whose version the state depends
    save: Callable[[Any, str], dict[str, Any]]
    load: Callable[[Any, dict[str, Any], str], None]


def adapter_of(value: Any) -> Adapter | None:
    """The adapter of a value's class. None of the packages is imported for the question."""
    return _ADAPTERS.get((type(value).__module__.partition(".")[0], type(value).__name__))


def load(kind: str, target: Any, saved: dict[str, Any], where: str) -> None:
    """Put a state into a simulator. ValueError if it is of another kind, or does not fit."""
    adapter = adapter_of(target)
    if adapter is None or adapter.kind != kind:
        raise ValueError(f"state: {where} was {kind}, it is {type(target).__name__} here")
    adapter.load(target, saved, where)


# Arrays of MjData that live in its arena: contacts and constraint rows, which every mj_step builds anew from qpos.
_ARENA = ("efc_", "efm_", "iefc_", "island_", "iacc", "ifrc_", "map_", "tendon_efcadr", "tree_island", "dof_island")
_POINTERS = ("plugin", "plugin_data")
_FLAGS = ("time", "flg_energypos", "flg_energyvel", "flg_subtreevel", "flg_rnepost")


@cache
def _mjdata_names() -> tuple[str, ...]:
    """The arrays of MjData whose length the model alone decides, in a fixed order.

    More than MuJoCo's own mjSTATE_INTEGRATION: observations of Ant and Humanoid read quantities that are one substep
    old (cfrc_ext, cinert, xpos), which qpos and qvel no longer say.
    """
    import mujoco

    empty = mujoco.MjData(mujoco.MjModel.from_xml_string("<mujoco/>"))
    names = (name for name in dir(mujoco.MjData) if not name.startswith(("_", *_ARENA)) and name not in _POINTERS)
    return tuple(name for name in names if isinstance(getattr(empty, name), np.ndarray))


def _save_mjdata(data: Any, where: str) -> dict[str, Any]:
    if data.nplugin:
        raise UnsavedError(f"{where}: MuJoCo plugins keep their own memory, which can't be saved")
    names = _mjdata_names()
    arrays = [np.ascontiguousarray(getattr(data, name)) for name in names]
    return {
        "names": ",".join(names),
        "sizes": np.array([array.nbytes for array in arrays]),
        "bytes": b"".join(array.tobytes() for array in arrays),
        "flags": [float(getattr(data, name)) for name in _FLAGS],
    }


def _load_mjdata(data: Any, saved: dict[str, Any], where: str) -> None:
    names = _mjdata_names()
    targets = [getattr(data, name) for name in names]
    sizes = [target.nbytes for target in targets]
    if ",".join(names) != saved["names"] or sizes != saved["sizes"].tolist() or sum(sizes) != len(saved["bytes"]):
        raise ValueError(f"state: {where} is of another MuJoCo model, or of another version of MuJoCo")
    start = 0
    for target, size in zip(targets, sizes, strict=True):
        target[...] = np.frombuffer(saved["bytes"], target.dtype, target.size, start).reshape(target.shape)
        start += size
    for name, value in zip(_FLAGS, saved["flags"], strict=True):
        setattr(data, name, value if name == "time" else bool(value))


def _save_mjmodel(model: Any, where: str) -> dict[str, Any]:
    import mujoco

    binary = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, binary)
    return {"sha256": hashlib.sha256(binary.tobytes()).hexdigest()}


def _load_mjmodel(model: Any, saved: dict[str, Any], where: str) -> None:
    """A model is not changed, only compared."""
    if _save_mjmodel(model, where)["sha256"] != saved["sha256"]:
        raise ValueError(f"state: {where}: the MuJoCo model is not the one that was saved")


def _save_ale(ale: Any, where: str) -> dict[str, Any]:
    """The emulator with its generator.

    The previous action is not among what it gives out, so with sticky actions inside it no state is exact.
    """
    if ale.getFloat("repeat_action_probability") > 0:
        raise UnsavedError(f"{where}: sticky actions inside the emulator can't be saved; exact=True keeps them outside")
    return {"bytes": ale.cloneState(include_rng=True).serialize()}


def _load_ale(ale: Any, saved: dict[str, Any], where: str) -> None:
    import ale_py

    try:
        ale.restoreState(ale_py.ALEState(saved["bytes"]))
    except (SystemError, ValueError) as error:  # what the emulator makes of bytes that are not its own
        raise ValueError(f"state: {where}: the emulator can't read it: {error}") from error


_ADAPTERS = {
    ("mujoco", "MjData"): Adapter("mujoco.MjData", "mujoco", _save_mjdata, _load_mjdata),
    ("mujoco", "MjModel"): Adapter("mujoco.MjModel", "mujoco", _save_mjmodel, _load_mjmodel),
    ("ale_py", "ALEInterface"): Adapter("ale_py.ALEInterface", "ale-py", _save_ale, _load_ale),
}
