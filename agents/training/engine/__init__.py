"""Two engines, one meaning: torch for any policy and device, fused for plain MLPs on the CPU, several times faster.

On a GPU the torch engine's kernels are recorded and replayed where they can be (`recorded.py`).

The losses are the same pure torch functions in both (`training/losses.py`); they agree to float rounding. Actions are
drawn from NumPy's generator in the fused engine and from torch's in the other, so runs of one seed differ between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...suggest import check_choice
from ..devices import on_gpu
from .adam import FlatAdam
from .collector import Collector
from .constants import changed, constants_of
from .flat import FlatParameters
from .gradients import EagerGradient, ObjectiveGradient
from .lowering import make_gradient
from .mlp import MlpSpec, recognise
from .sampling import make_sampler
from .trunk import Trunk, executor_named, make_trunk
from .update import FusedUpdate

if TYPE_CHECKING:
    from ..losses import MinibatchLoss
    from ..on_policy import OnPolicy
    from .recorded import RecordedEngine

ENGINES = ("auto", "torch", "fused")

#: Steps from which compiling pays: a start costs a second, and some more when nothing is cached.
PAYS_FROM = 20_000

#: What the engines do in their own way; an algorithm with another way keeps the torch engine, step by step.
REPLACED = ("collect_rollouts", "train", "evaluate", "scaled_advantages", "critic_loss", "_act")
REPLACED_BY_FUSED = (*REPLACED, "_collect", "_clipped", "_values", "beyond_target_kl")


@dataclass(frozen=True)
class FusedEngine:
    """Collector and update without autograd through the networks, and what they are made of, in words."""

    collect: Collector
    trunk: Trunk
    optimizer: FlatAdam
    gradient: ObjectiveGradient
    spec: MlpSpec
    loss: MinibatchLoss
    constants: dict[str, Any]
    description: str

    def fits(self, model: OnPolicy) -> bool:
        """Whether it was made for what the model is now, so that it can go on."""
        spec, adam = recognise(model.policy), self.optimizer
        if isinstance(spec, str) or spec != self.spec or not spec.has(adam.flat.parameters):
            return False
        if model.loss is not self.loss or adam.optimizer is not model.policy.optimizer:
            return False
        return not (spec.shared and model.takes_separate_steps) and not self.outlived(model)

    def outlived(self, model: OnPolicy) -> str:
        """What the lowered loss took for a constant although it is another by now; "" if nothing."""
        if model.loss is not self.loss or isinstance(self.gradient, EagerGradient):
            return ""
        return changed(self.constants, self.loss)

    def update_of(self, model: OnPolicy) -> FusedUpdate:
        """The update with the model's arguments as they are now, which callbacks may change."""
        return FusedUpdate(
            self.trunk,
            self.optimizer,
            self.gradient,
            n_epochs=model.n_epochs,
            batch_size=model.batch_size,
            vf_coef=model.vf_coef,
            max_grad_norm=model.max_grad_norm,
            kl_limit=model.kl_limit,
            normalize_advantage=model.normalize_advantage and model.normalize_per == "minibatch",
            separate=model.takes_separate_steps,
            n_critic_updates=model.n_critic_updates,
        )


def make_engine(model: OnPolicy, total_timesteps: int) -> FusedEngine | RecordedEngine | str:
    """The fused engine of an algorithm, on a GPU recordings of the torch engine, or why torch runs step by step.

    Raises:
        ValueError: for an unknown `engine`, and for engine="fused" where that can't be.
    """
    check_choice("engine", model.engine, ENGINES)
    if model.engine == "torch":
        return "engine='torch'"
    if model.engine == "auto" and not pays(total_timesteps):
        return f"{total_timesteps} steps are too few to pay for compiling"
    if model.engine == "auto" and on_gpu(model.device):
        return _recorded(model)
    engine = _obstacle(model) or (model._fused if model._fused and model._fused.fits(model) else fused_engine(model))
    if model.engine == "fused" and isinstance(engine, str):
        raise ValueError(f"engine='fused': {engine}; use engine='auto' or 'torch'")
    return engine


def pays(total_timesteps: int) -> bool:
    """Whether a run is long enough for what it has to compile."""
    return total_timesteps >= PAYS_FROM


def fused_engine(model: OnPolicy, executor: str = "auto") -> FusedEngine | str:
    """The fused engine of a model by "numba", "numpy" or the better of them, or what about its policy needs torch."""
    spec = recognise(model.policy)
    if isinstance(spec, str):
        return spec
    if spec.shared and model.takes_separate_steps:
        return "separate steps of actor and critic, which share layers"
    flat = FlatParameters(spec.actor_parameters, spec.critic_parameters)
    executor = executor_named(executor)
    trunk = make_trunk(spec, flat, executor)
    sampler = make_sampler(model.policy.head, model.action_space, executor)
    if isinstance(sampler, str):
        return sampler
    gradient = _gradient(model, executor)
    adam = FlatAdam(model.policy.optimizer, flat, executor)
    objective = f"objective by {gradient.executor}" + (f": {gradient.reason}" if gradient.reason else "")
    description = f"fused ({trunk.name} networks, {objective})"
    constants = constants_of(model.loss)
    collect = Collector(trunk, sampler, flat)
    return FusedEngine(collect, trunk, adam, gradient, spec, model.loss, constants, description)


def _gradient(model: OnPolicy, executor: str) -> ObjectiveGradient:
    """The one there is, lowered anew, or autograd's for a loss that does not stay what it was when it was lowered."""
    before = model._fused
    if before is None or before.loss is not model.loss:
        return make_gradient(model.loss, executor)
    if name := before.outlived(model):
        return EagerGradient(model.loss, f"{name} has changed, which only a tensor may")
    return before.gradient


def _recorded(model: OnPolicy) -> RecordedEngine | str:
    from .recorded import RecordedEngine, can_be_recorded, end_broken_recording

    if obstacle := _changed_step(model, REPLACED) or can_be_recorded(model.policy):
        return obstacle
    if model._recorded is not None and (name := changed(model._recorded.constants, model.loss)):
        return f"{name} has changed, which only a tensor may"
    if model._recorded is not None and model._recorded.fits(model):
        return model._recorded
    try:
        return RecordedEngine(model)
    except RuntimeError as error:
        end_broken_recording()
        return f"no CUDA graphs: {str(error).partition(chr(10))[0]}"


def _changed_step(model: OnPolicy, names: tuple[str, ...]) -> str:
    """What an algorithm does in its own way that the engines know in one way only; "" if nothing."""
    if name := model.own_version(names):
        return f"{type(model).__name__} has its own {name}"
    return "" if model.step == "adam" else f"step={model.step!r}"


def _obstacle(model: OnPolicy) -> str:
    """What about the algorithm itself needs torch, in short; "" if nothing."""
    if own := _changed_step(model, REPLACED_BY_FUSED):
        return own
    if model.advantage != "sampled":
        return f"advantage={model.advantage!r}"
    if model.rollout_buffer.masks is not None:
        return "the environment masks actions"
    return ""
