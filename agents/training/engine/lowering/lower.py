"""A lowered loss as an `ObjectiveGradient`: the three stages, by NumPy or with the rows in one Numba loop."""

from __future__ import annotations

import numpy as np

from ...losses import MinibatchLoss
from ..columns import Columns
from ..gradients import Gradient
from .numpy_code import Program, Values
from .stages import Layout, split
from .trace import Traced, trace

COLUMNS = tuple(name for name in Columns._fields if name not in ("observations", "masks", "advantages"))
TINY = float(np.finfo(np.float32).tiny)


class LoweredGradient:
    """What does not change during an update is computed at its first minibatch, for all rows of the rollout."""

    executor = "numpy"
    reason = ""

    def __init__(self, loss: MinibatchLoss) -> None:
        traced = trace(loss)
        self.metric_names = (*traced.metrics, "negative_share")
        self.traced = traced
        self.stages = split([*traced[:2], *traced.metrics.values(), traced.negative_norm, traced.norm])
        everything = Program(self.stages.outputs, ())
        inputs = {arg for _, _, args in everything.steps for arg in args if arg.op == "input"}
        inputs |= {node for node in self.stages.outputs if node.op == "input"}
        self._inputs = {node.data: node for node in inputs}
        self._once = Program(self.stages.rollout, ())
        later = Program(self.stages.outputs, self.stages.rollout)
        used = {arg for _, _, args in later.steps for arg in args} | set(self.stages.outputs)
        kept = [node for node in inputs if node.data in COLUMNS and node in used]
        self.layout = Layout([*kept, *self.stages.rollout])
        self._later = later
        self._columns: Columns | None = None

    def refresh(self) -> None:
        """Scalars and columns are new."""
        self._columns = None

    def __call__(
        self, parameters: np.ndarray, values: np.ndarray, columns: Columns, rows: np.ndarray, advantages: np.ndarray
    ) -> Gradient:
        """As the protocol says."""
        if columns is not self._columns:
            self._prepare(columns)
        return self._gradient(parameters, values, rows, advantages)

    def _prepare(self, columns: Columns) -> None:
        given = {node: getattr(columns, name) for name, node in self._inputs.items() if name in COLUMNS}
        n = len(columns.returns)
        self._packed, self._numbers = self.layout.packed(self._once(given, n), n)
        self._columns = columns

    def _gradient(self, parameters: np.ndarray, values: np.ndarray, rows: np.ndarray, advantages: np.ndarray) -> Gradient:
        n, outputs = len(rows), self.stages.outputs
        given = self.layout.unpacked(self._packed.take(rows, axis=0), self._numbers)
        for name, array in (("parameters", parameters), ("values", values), ("advantages", advantages)):
            if name in self._inputs:
                given[self._inputs[name]] = array
        found: Values = self._later(given, n)
        means = np.array([found[node].mean(dtype=np.float64) for node in outputs[2:]])
        return Gradient(found[outputs[0]] / np.float32(n), found[outputs[1]] / np.float32(n), _with_share(means))


def _with_share(means: np.ndarray) -> np.ndarray:
    """The last two, norms where A < 0 and everywhere, become their ratio."""
    means[-2] /= max(means[-1], TINY)
    return means[:-1]


