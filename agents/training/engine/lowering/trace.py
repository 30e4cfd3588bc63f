"""From a loss in torch to the graph: run it once on made-up rows, forward and backward, and note every operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from ....geometry import Divergence, softargmax
from ...losses import MinibatchLoss
from ...rollouts import Minibatch
from ..gradients import example, gradient_norms, metrics_of
from .graph import Node
from .recorder import Recorder
from .translator import BATCH

ORIGINS = {"parameters": "learned", "values": "learned", "advantages": "minibatch"}


class Traced(NamedTuple):
    """What a minibatch needs, per row: gradients of the sums over the rows, and metrics to be averaged.

    The metric `negative_share` is the ratio of two such averages, `negative_norm` by `norm`.
    """

    d_parameters: Node
    d_values: Node
    metrics: dict[str, Node]
    negative_norm: Node
    norm: Node


def trace(loss: MinibatchLoss) -> Traced:
    """The graph of a loss and its gradient.

    Raises:
        LoweringError: saying what stands in the way.
    """
    made_up = example(loss, BATCH, BATCH)
    columns = made_up.columns._replace(advantages=made_up.advantages)
    batch = Minibatch(None, *(None if c is None else torch.from_numpy(c) for c in columns[1:]))  # type: ignore[arg-type]
    parameters, values = (torch.from_numpy(x).requires_grad_() for x in (made_up.parameters, made_up.values))
    recorder = Recorder()
    for name, tensor in (("parameters", parameters), ("values", values), *batch._asdict().items()):
        if tensor is not None:
            recorder.input(name, tensor, ORIGINS.get(name, "rollout"))
    with recorder, _traceable(recorder):
        losses = loss(parameters, values, None, batch)
        metrics = metrics_of(loss, losses, parameters, batch)
        with recorder.paused():  # sums over the batch are none of the row's business
            objective, policy, value = (loss.sum() for loss in losses[:3])
        norm = gradient_norms(objective, parameters)
        negative_norm = torch.where(batch.advantages < 0, norm, 0.0)
        (d_parameters,) = torch.autograd.grad(policy, parameters)
        (d_values,) = torch.autograd.grad(value, values)
    node = recorder.node
    nodes = {name: node(metric) for name, metric in metrics.items()}
    return Traced(node(d_parameters), node(d_values), nodes, node(negative_norm), node(norm))


@contextmanager
def _traceable(recorder: Recorder) -> Iterator[None]:
    """No checks that read numbers, and the f-softargmax in one piece, since its solver looks at values."""
    solve = softargmax._forward

    def in_one_piece(logits: Tensor, log_q: Tensor | None, divergence: Divergence, temperature: float) -> Tensor:
        with recorder.paused():
            out = solve(logits, log_q, divergence, temperature)
        recorder.operator(out, logits, log_q, divergence, temperature)
        return out

    with (
        patch.object(torch.compiler, "is_compiling", lambda: recorder.listening),
        patch.object(softargmax, "_forward", in_one_piece),
    ):
        yield
