"""A lowered loss as an `ObjectiveGradient`: the stages by NumPy, or the last one as a Numba loop over the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...losses import MinibatchLoss
from ..columns import Columns
from ..gradients import EagerGradient, Example, Gradient, ObjectiveGradient, example
from .graph import LoweringError, Node
from .numpy_code import Program
from .stages import Layout, split
from .trace import Traced, trace

EXECUTORS = ("numba", "numpy")
TINY = float(np.finfo(np.float32).tiny)


def make_gradient(loss: MinibatchLoss, executor: str = "auto") -> ObjectiveGradient:
    """The loss's gradient by Numba ("auto", "numba") or NumPy ("numpy"); if need be by the next, autograd the last."""
    reason = ""
    for name in EXECUTORS if executor == "auto" else EXECUTORS[EXECUTORS.index(executor) :]:
        try:
            gradient = LoweredGradient(trace(loss), name, reason)
            check(loss, gradient)
            return gradient
        except LoweringError as error:
            reason = str(error)
        except Exception as error:  # of Numba, or of a torch that this was not written for: autograd computes the same
            reason = f"{type(error).__name__} in lowering to {name}: {error}"
    return EagerGradient(loss, reason)


class LoweredGradient:
    """What does not change during an update is computed at its first minibatch, for all rows of the rollout."""

    def __init__(self, traced: Traced, executor: str, reason: str = "") -> None:
        self.executor, self.reason = executor, reason
        self.metric_names = (*traced.metrics, "negative_share")
        outputs = [traced.d_parameters, traced.d_values, *traced.metrics.values(), traced.negative_norm, traced.norm]
        self._outputs = outputs
        stages = split(outputs)
        self._rollout = Program(stages.rollout, ())
        self._minibatch = Program(stages.minibatch, stages.rollout)
        self._late = Program(outputs, [*stages.rollout, *stages.minibatch])
        later = dict.fromkeys(node for node in (*self._minibatch.uses, *self._late.uses) if node.op == "input")
        self._learned = {node.data: node for node in later if node.origin != {"rollout"}}
        kept = [node for node in later if node.origin == {"rollout"}]
        self._from_columns = dict.fromkeys([*self._rollout.uses, *kept])
        self._kept, self._handed = Layout([*kept, *stages.rollout]), Layout(stages.minibatch)
        self._columns: Columns | None = None
        self._buffers: dict[int, Gradient] = {}
        self._nothing = np.zeros((1, 0), np.float32), np.zeros(0)
        self._run: Callable[..., Gradient] = self._by_numpy
        if executor == "numba":
            self._kernel, self._run = self._compiled(), self._by_numba

    def refresh(self) -> None:
        """Scalars and columns are new."""
        self._columns = None

    def __call__(
        self, parameters: np.ndarray, values: np.ndarray, columns: Columns, rows: np.ndarray, advantages: np.ndarray
    ) -> Gradient:
        """As the protocol says."""
        if columns is not self._columns:
            n = len(columns.returns)
            given = {node: getattr(columns, node.data) for node in self._from_columns}
            self._packed, self._numbers = self._kept.packed(self._rollout(given, n), n)
            self._columns = columns
        return self._run({"parameters": parameters, "values": values, "advantages": advantages}, rows)

    def _by_numpy(self, arrays: dict[str, np.ndarray], rows: np.ndarray) -> Gradient:
        n = len(rows)
        handed = self._minibatch(self._given(self._minibatch, arrays, rows), n)
        found = self._late(self._given(self._late, arrays, rows) | handed, n)
        d_parameters, d_values, *metrics = (found[node] for node in self._outputs)
        means = np.array([metric.mean(dtype=np.float64) for metric in metrics])
        return Gradient((d_parameters / n).astype(np.float32), (d_values / n).astype(np.float32), _with_share(means))

    def _by_numba(self, arrays: dict[str, np.ndarray], rows: np.ndarray) -> Gradient:
        n = len(rows)
        out = self._buffers.get(n)
        if out is None:
            parameters, values = (np.empty(arrays[name].shape, np.float32) for name in ("parameters", "values"))
            out = self._buffers[n] = Gradient(parameters, values, np.empty(len(self.metric_names) + 1))
        handed = self._nothing
        if self._minibatch.steps:
            handed = self._handed.packed(self._minibatch(self._given(self._minibatch, arrays, rows), n), n)
        self._kernel(rows, self._packed, handed[0], *arrays.values(), self._numbers, handed[1], *out)
        return Gradient(out.d_parameters, out.d_values, _with_share(out.metrics))

    def _given(self, program: Program, arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict[Node, np.ndarray]:
        given = {node: arrays[name] for name, node in self._learned.items()}
        return given | self._kept.unpacked(program.uses, self._packed, rows, self._numbers)

    def _compiled(self) -> Callable[..., None]:
        from .modules import compiled
        from .numba_code import RowLoop

        given = {node: f"{name}[i]" for name, node in self._learned.items()}
        if "parameters" in self._learned:
            given[self._learned["parameters"]] = "parameters[i, {j}]"
        for layout, matrix, vector in (
            (self._kept, "packed[k", "numbers["),
            (self._handed, "extra[i", "extra_numbers["),
        ):
            given |= {node: f"{matrix}, {place.start} + {{j}}]" for node, place in layout.rows.items()}
            given |= {node: f"{vector}{place.start} + {{j}}]" for node, place in layout.numbers.items()}
        return compiled(RowLoop(self._outputs, given).source())


def _with_share(means: np.ndarray) -> np.ndarray:
    """The last two, norms where A < 0 and everywhere, become their ratio."""
    means[-2] /= max(means[-1], TINY)
    return means[:-1]


def check(loss: MinibatchLoss, gradient: ObjectiveGradient) -> None:
    """Compare with autograd in float64 on two made-up minibatches.

    Raises:
        LoweringError: where gradients are off by more than 1e-6 and twice autograd's own relative error in float32, or
            metrics by more than 1e-4.
    """
    eager = EagerGradient(loss)
    order = [gradient.metric_names.index(name) for name in eager.metric_names]
    made_up = [example(loss, batch_size, 80, seed=batch_size) for batch_size in (7, 64)]
    exact = [eager(*in_double(each)) for each in made_up]
    for k, kind in enumerate(("d_parameters", "d_values")):
        own = max(_distance(eager(*each)[k], right[k]) for each, right in zip(made_up, exact, strict=True))
        ours = max(_distance(gradient(*each)[k], right[k]) for each, right in zip(made_up, exact, strict=True))
        if not ours <= max(1e-6, 2 * own):
            raise LoweringError(f"{kind} differ from autograd by {ours:.1e}, relatively (its own error: {own:.1e})")
    for each, right in zip(made_up, exact, strict=True):
        if not np.allclose(gradient(*each).metrics[order], right.metrics, 1e-4, 1e-4, equal_nan=True):
            raise LoweringError("metrics differ from autograd's")
    gradient.refresh()


def _distance(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.linalg.norm(found - right)) / max(float(np.linalg.norm(right)), TINY)


def in_double(made_up: Example) -> Example:
    """The same in float64."""

    def double(array: np.ndarray | None) -> np.ndarray | None:
        return array.astype(np.float64) if array is not None and array.dtype == np.float32 else array

    columns = Columns(*map(double, made_up.columns))  # type: ignore[arg-type]
    return Example(*(columns if isinstance(x, Columns) else double(x) for x in made_up))  # type: ignore[arg-type]
