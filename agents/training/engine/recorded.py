"""The torch engine on a GPU with its kernels recorded once, as CUDA graphs, and replayed from then on.

A small network keeps a GPU waiting for Python to launch its kernels, a hundred or more for a minibatch. What is
recorded is the torch code itself: `policy.evaluate`, the head's sampling, and the losses with their backward pass.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from torch import Tensor, nn
from torch.autograd.graph import set_warn_on_accumulate_grad_stream_mismatch
from torch.utils._pytree import tree_leaves, tree_map

from ...policies.actor_critic import ActorCriticPolicy, CnnPolicy, MultiInputPolicy, check_finite
from ...policies.images import RawNatureCNN
from ...policies.shared import SharedMlp
from ..devices import to_host
from ..rollouts import Minibatch, RolloutBuffer
from ..stepper import Observations
from ..updates import Evaluation
from .constants import constants_of
from .mlp import REPLACED, hooks, own_version

if TYPE_CHECKING:
    from ..on_policy import OnPolicy

WARM_UP = 3  # runs before a recording, in which libraries choose their kernels
POLICIES = (ActorCriticPolicy, CnnPolicy, MultiInputPolicy)
EXTRACTORS = (RawNatureCNN, NatureCNN, FlattenExtractor, CombinedExtractor, SharedMlp)


class RecordedEngine:
    """A rollout's acting and an update's losses from recordings; the `Learner` of an update.

    Raises:
        RuntimeError: if the code waits for the GPU somewhere, which can't be recorded.
    """

    def __init__(self, model: OnPolicy) -> None:
        self.model, self._made_for, self.constants = model, self._parts(model), constants_of(model.loss)
        self.description = f"torch on {model.device}, recorded as CUDA graphs"
        self._losses: dict[Any, Callable[..., dict[str, Tensor]]] = {}
        self.act = RecordedAct(model.policy, model.rollout_buffer)
        model.policy.set_training_mode(True)
        batch = next(model.rollout_buffer.get(None if model.n_critic_updates else model.batch_size, shuffle=False))
        # What comes with the first rollout only, in the shape that it will have.
        if model.advantage == "dense":
            batch = batch._replace(advantages=batch.behaviour)
        if model._reference.policy is not None:
            batch = batch._replace(reference=batch.behaviour)
        for detailed in (True, False):
            self.evaluate(batch, detailed)

    @staticmethod
    def _parts(model: OnPolicy) -> tuple[Any, ...]:
        weights = [part for p in model.policy.parameters() for part in (p, p.requires_grad)]
        settings = model.policy.head, model.normalize_advantage, model.normalize_per
        return model.loss, model.rollout_buffer, *settings, *model.policy.modules(), *weights

    def fits(self, model: OnPolicy) -> bool:
        """Whether it was made of what the model has now, so that it can go on."""
        parts = self._parts(model)
        return len(parts) == len(self._made_for) and all(map(operator.is_, parts, self._made_for))

    @property
    def rollout_buffer(self) -> RolloutBuffer:
        """The model's."""
        return self.model.rollout_buffer

    def evaluate(self, batch: Minibatch, detailed: bool = False) -> Evaluation:
        """`OnPolicy.evaluate`; the metrics are means over the minibatch."""
        metrics = self._replay("detailed" if detailed else "losses", batch)
        return Evaluation(metrics.pop("policy loss"), metrics.pop("value loss"), metrics)

    def critic_loss(self, batch: Minibatch) -> Tensor:
        """`OnPolicy.critic_loss`."""
        return self._replay("critic", batch)["value loss"]

    def kl(self, batch: Minibatch) -> Tensor:
        """The model's."""
        return self.model.kl(batch)

    def beyond_target_kl(self, evaluation: Evaluation) -> bool:
        """The model's."""
        return self.model.beyond_target_kl(evaluation)

    def _replay(self, kind: str, batch: Minibatch) -> dict[str, Tensor]:
        """The losses of a minibatch from the recording for its shapes, made where there is none yet."""
        tensors, order = in_order(batch)
        key = kind, order, tuple(tensor.shape for tensor in tensors)
        if key not in self._losses:
            self._losses[key] = record(Losses(self.model, kind, order), [tensor.clone() for tensor in tensors])
        return self._losses[key](*tensors)


class Order(NamedTuple):
    """What the tensors of a minibatch are, one after the other."""

    observations: tuple[str, ...] | None  # the keys of Dict observations
    others: tuple[str, ...]  # fields that are there

    def batch(self, tensors: tuple[Tensor, ...]) -> Minibatch:
        """The minibatch of tensors in this order."""
        n = len(self.observations) if self.observations else 1
        seen: Any = dict(zip(self.observations, tensors[:n], strict=True)) if self.observations else tensors[0]
        fields: dict[str, Any] = dict.fromkeys(Minibatch._fields)
        return Minibatch(**fields | {"observations": seen} | dict(zip(self.others, tensors[n:], strict=True)))


def in_order(batch: Minibatch) -> tuple[list[Tensor], Order]:
    """The tensors of a minibatch, which is what can be recorded, and their order."""
    seen = batch.observations
    others = {name: value for name, value in batch._asdict().items() if name != "observations" and value is not None}
    if isinstance(seen, dict):
        return [*seen.values(), *others.values()], Order(tuple(seen), tuple(others))
    return [seen, *others.values()], Order(None, tuple(others))


class Losses(nn.Module):
    """Losses and, unless it is the "critic" loss alone, metrics of a minibatch, as a function of its tensors."""

    def __init__(self, model: OnPolicy, kind: str, order: Order) -> None:
        super().__init__()
        self.policy, self.model, self.kind, self.order = model.policy, model, kind, order
        self.training = model.policy.training

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        """Scalars by name."""
        batch = self.order.batch(tensors)
        if self.kind == "critic":
            return {"value loss": self.model.critic_loss(batch)}
        policy, value, metrics = self.model.evaluate(batch, detailed=self.kind == "detailed")
        means = {name: metric.detach().mean() for name, metric in metrics.items()}
        return means | {"policy loss": policy, "value loss": value}


def record(losses: Losses, samples: list[Tensor]) -> Callable[..., dict[str, Tensor]]:
    """The losses and their backward pass as recordings; the samples become the place where minibatches are put.

    Raises:
        RuntimeError: if the code waits for the GPU somewhere.
    """

    def once() -> None:
        total = sum(losses(*samples).values())
        torch.autograd.grad(total, [p for p in losses.parameters() if p.requires_grad], allow_unused=True)

    set_warn_on_accumulate_grad_stream_mismatch(False)  # weights have the stream of their recording, as they must
    with recording(samples[0].device):
        warm_up(once)
        recorded: Any = torch.cuda.make_graphed_callables(losses, tuple(samples), WARM_UP, allow_unused_input=True)
        return recorded


class RecordedAct:
    """`OnPolicy.act` for N observations as a recording between two copies: observations to the GPU, results back.

    Raises:
        RuntimeError: if the code waits for the GPU somewhere.
    """

    def __init__(self, policy: ActorCriticPolicy, buffer: RolloutBuffer) -> None:
        self.policy, device = policy, buffer.device
        self._observations = tree_map(lambda rows: torch.from_numpy(rows[0]).to(device, copy=True), buffer.observations)
        self._masks = None if buffer.masks is None else torch.as_tensor(buffer.masks[0], device=device)
        self._graph = torch.cuda.CUDAGraph()
        policy.set_training_mode(False)
        with recording(device), torch.no_grad():
            warm_up(self._acted)
            with torch.cuda.graph(self._graph):
                self._results = self._acted()

    def _acted(self) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, parameters and values; sampled from finite parameters, since a GPU's assertions end the process."""
        parameters, values, _ = self.policy.evaluate(self._observations)
        sampled_from = torch.where(torch.isfinite(parameters.sum()), parameters, 0.0)
        return self.policy.sampled(sampled_from, self._masks), parameters, values

    def __call__(self, observations: Observations, masks: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """Sampled actions [N, ...], parameters [N, P] and values [N]; masks [N, M].

        Raises:
            FloatingPointError: if the network's output is not finite.
        """
        for there, here in zip(tree_leaves(self._observations), tree_leaves(observations), strict=True):
            there.copy_(torch.from_numpy(here), non_blocking=True)
        if self._masks is not None:
            self._masks.copy_(torch.from_numpy(masks))
        self._graph.replay()
        actions, parameters, values = to_host(*self._results)
        check_finite(parameters.sum())
        return actions, parameters, values


@contextmanager
def recording(device: torch.device) -> Iterator[None]:
    """Within, code runs as for torch.compile, without a look at what it computes; random numbers start over after."""
    with torch.random.fork_rng(devices=[device]), patch.object(torch.compiler, "is_compiling", lambda: True):
        yield


def warm_up(function: Callable[[], Any]) -> None:
    """Some runs in a stream of their own, as recordings need them.

    Raises:
        RuntimeError: if the function waits for the GPU.
    """
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(WARM_UP):
            function()
        torch.cuda.synchronize()
        with no_waiting():
            function()
        torch.cuda.synchronize()


@contextmanager
def no_waiting() -> Iterator[None]:
    """Within, what waits for the GPU raises RuntimeError."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype", UserWarning)
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def end_broken_recording() -> None:
    """Let the generator of random numbers work again after a recording that failed midway: one that does not."""
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.zeros(1, device="cuda")


def can_be_recorded(policy: ActorCriticPolicy) -> str:
    """Why not, or "": only networks of ours and SB3's are known to do the same at each call."""
    if type(policy) not in POLICIES:
        return f"policy {type(policy).__name__}"
    if name := own_version(policy, type(policy), REPLACED):
        return f"policy with its own {name}"
    extractor = type(policy.features_extractor)
    if extractor not in EXTRACTORS:
        return f"features extractor {extractor.__name__}"
    return "compile=True" if policy.own_kwargs["compile"] else hooks(policy)
