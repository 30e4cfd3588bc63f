"""How parameters move once a loss is known: one interface for every optimiser step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..policies.lean_torch import step_without_compiler
from ..suggest import check_choice
from .arguments import check_settings

ScalarFn = Callable[[], Tensor]
STEPS = ("adam", "armijo", "trust_region")


class Step(Protocol):
    """A step on chosen parameters from a loss there; line searches evaluate `loss_fn` (and `kl_fn`) again elsewhere."""

    def __call__(self, loss: Tensor, loss_fn: ScalarFn, kl_fn: ScalarFn) -> dict[str, Tensor]:
        """Move the parameters; return metrics to log."""
        ...

    def begin_update(self) -> None:
        """Called before each update: forget what was carried from step to step."""
        ...


def trainable(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """Those that are not frozen now; any may be, between one `learn` and the next."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def checked_norm(gradients: Sequence[Tensor], loss: Tensor) -> Tensor:
    """The norm of all gradients together.

    Raises:
        FloatingPointError: if it is not finite; nothing has moved then.
    """
    norm = torch.nn.utils.get_total_norm(gradients)
    if not torch.isfinite(norm):
        raise FloatingPointError(
            f"the gradient's norm is {norm.item()} (loss {loss.item()}): the update was not applied; "
            "check rewards and observations, or lower learning_rate"
        )
    return norm


@dataclass(frozen=True)
class GradientStep:
    """Backward, norm clipping (`max_grad_norm=None`: none), optimiser step; SB3's step when the optimiser is Adam.

    The optimiser may hold more than `parameters`: the others have no gradient then, and stay.
    """

    optimizer: torch.optim.Optimizer
    parameters: Sequence[nn.Parameter]
    max_grad_norm: float | None = 0.5

    def begin_update(self) -> None:
        """Nothing is carried."""

    def __call__(self, loss: Tensor, loss_fn: ScalarFn, kl_fn: ScalarFn) -> dict[str, Tensor]:
        """One step; `grad_norm` is the norm before clipping. FloatingPointError if it is not finite."""
        parameters = trainable(self.parameters)
        if not parameters:
            return {}
        self.optimizer.zero_grad()
        loss.backward(inputs=parameters)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = checked_norm(gradients, loss)
        nn.utils.clip_grads_with_norm_(self.parameters, self.max_grad_norm or math.inf, norm)
        step_without_compiler(self.optimizer)
        return {"grad_norm": norm.detach()}


class ArmijoStep:
    """Gradient descent with backtracking to L(theta - a g) <= L(theta) - c a |g|^2 (arXiv 2411.12042, released code).

    The first try of an update is `max_step_size`; later ones start at `growth` times the step accepted last. A try
    whose loss is not finite is refused. After `max_tries` refusals the parameters stay.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        c: float = 0.5,
        max_step_size: float = 1e6,
        shrink: float = 0.9,
        growth: float = 1.8,
        max_tries: int = 500,
    ) -> None:
        self.parameters, self.c, self.max_step_size = parameters, c, max_step_size
        self.shrink, self.growth, self.max_tries = shrink, growth, max_tries
        self.begin_update()

    def begin_update(self) -> None:
        """Start over from `max_step_size`."""
        self._next = self.max_step_size

    def __call__(self, loss: Tensor, loss_fn: ScalarFn, kl_fn: ScalarFn) -> dict[str, Tensor]:
        """One accepted step; `forward_passes` counts the tries, `step_size` is 0 where all were refused."""
        parameters = trainable(self.parameters)
        if not parameters:
            return {}
        gradients = _gradients(loss, parameters)
        norm = checked_norm(gradients, loss)
        start = [parameter.detach().clone() for parameter in parameters]
        step_size, tries, accepted = self._next, 0, False
        while tries < self.max_tries and not accepted:
            step_size = step_size * self.shrink if tries else step_size
            tries += 1
            _move(parameters, start, gradients, -step_size)
            with torch.no_grad():
                accepted = bool(_tried(loss_fn, loss) <= loss.detach() - self.c * step_size * norm**2)
        if not accepted:
            step_size = 0.0
            _move(parameters, start, gradients, 0.0)
        self._next = self.growth * step_size or self.max_step_size
        return {
            "grad_norm": norm.detach(),
            "step_size": loss.new_tensor(step_size),
            "forward_passes": loss.new_tensor(float(tries)),
        }


@dataclass(frozen=True)
class TrustRegionStep:
    """The natural gradient within KL <= target_kl: conjugate gradient on the Fisher matrix, then a line search.

    Direction x solves (F + cg_damping I) x = -g with F the Hessian of the mean KL(new || old) at new = old; the full
    step has x^T F x / 2 = target_kl and shrinks until the loss falls and the KL is within bounds; if it never is, the
    parameters stay. (Schulman et al. 2015, Appendix C; arguments as in sb3-contrib's TRPO.)
    """

    parameters: Sequence[nn.Parameter]
    target_kl: float = 0.01
    cg_max_steps: int = 15
    cg_damping: float = 0.1
    line_search_shrinking_factor: float = 0.8
    line_search_max_iter: int = 10

    def begin_update(self) -> None:
        """Nothing is carried."""

    def __call__(self, loss: Tensor, loss_fn: ScalarFn, kl_fn: ScalarFn) -> dict[str, Tensor]:
        """One step; `kl` is KL(new || old) after it, `is_line_search_success` 0 where the parameters stayed."""
        parameters = trainable(self.parameters)
        if not parameters:
            return {}
        gradient = torch.cat([g.flatten() for g in _gradients(loss, parameters)])
        norm = checked_norm([gradient], loss)
        kl_gradient = torch.cat([g.flatten() for g in _gradients(kl_fn(), parameters, create_graph=True)])

        def fisher(vector: Tensor) -> Tensor:
            products = _gradients((kl_gradient * vector).sum(), parameters, retain_graph=True)
            return torch.cat([p.flatten() for p in products]) + self.cg_damping * vector

        direction = conjugate_gradient(fisher, -gradient, self.cg_max_steps)
        curvature = direction @ fisher(direction)
        full = torch.sqrt(2 * self.target_kl / curvature) if curvature > 0 else curvature.new_zeros(())
        moves = [m.view_as(p) for m, p in zip(_split(direction, parameters), parameters, strict=True)]
        start = [parameter.detach().clone() for parameter in parameters]
        size, success, kl = float(full), False, loss.new_zeros(())
        for _ in range(self.line_search_max_iter):
            _move(parameters, start, moves, size)
            with torch.no_grad():
                kl = _tried(kl_fn, loss)
                success = bool(_tried(loss_fn, loss) < loss) and bool(kl < self.target_kl)
            if success:
                break
            size *= self.line_search_shrinking_factor
        if not success:
            size, kl = 0.0, loss.new_zeros(())
            _move(parameters, start, moves, 0.0)
        return {
            "grad_norm": norm.detach(),
            "kl": kl,
            "step_size": loss.new_tensor(size),
            "is_line_search_success": loss.new_tensor(float(success)),
        }


def check_step(step: str, settings: Mapping[str, Any] | None) -> None:
    """Whether there is a step of that name, which takes these settings.

    Raises:
        ValueError: naming what it does not know.
    """
    check_choice("step", step, STEPS)
    if not isinstance(settings or {}, Mapping) or (step == "adam" and settings):
        raise ValueError(f"step_kwargs={settings!r}: must be a mapping, and step='adam' takes none")
    if settings:
        check_settings("step_kwargs", settings, ArmijoStep if step == "armijo" else TrustRegionStep)


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, max_steps: int, tolerance: float = 1e-10
) -> Tensor:
    """x with A x = b for a positive definite A given by its products, [n]; stops at |residual|^2 < tolerance."""
    x = torch.zeros_like(b)
    residual, direction = b.clone(), b.clone()
    squared = residual @ residual
    for _ in range(max_steps):
        if squared < tolerance:
            break
        image = product(direction)
        step = squared / (direction @ image)
        x, residual = x + step * direction, residual - step * image
        squared, before = residual @ residual, squared
        direction = residual + squared / before * direction
    return x


def _tried(fn: ScalarFn, loss: Tensor) -> Tensor:
    """A value of a line search; infinite where the step has led to parameters that no distribution has."""
    try:
        return fn().detach()
    except ValueError:
        return loss.detach().new_tensor(math.inf)


def _gradients(
    loss: Tensor, parameters: Sequence[nn.Parameter], create_graph: bool = False, retain_graph: bool = False
) -> tuple[Tensor, ...]:
    return torch.autograd.grad(
        loss,
        parameters,
        create_graph=create_graph,
        retain_graph=retain_graph or create_graph,
        allow_unused=True,
        materialize_grads=True,
    )


def _split(flat: Tensor, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, ...]:
    return torch.split(flat, [parameter.numel() for parameter in parameters])


@torch.no_grad()
def _move(parameters: Sequence[nn.Parameter], start: Sequence[Tensor], along: Sequence[Tensor], size: float) -> None:
    """parameters <- start + size * along, in place; exactly `start` where size is 0."""
    for parameter, origin, direction in zip(parameters, start, along, strict=True):
        parameter.copy_(origin + size * direction if size else origin)
