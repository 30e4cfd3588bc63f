"""Lowered losses against autograd in float64: every objective and head, by NumPy and by Numba."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from agents.objectives import PolicyLoss
from agents.objectives.base import sampled_log_ratio
from agents.training.engine.gradients import Example, example
from agents.training.engine.lowering import LoweredGradient, aten, lower, make_gradient, modules
from agents.training.engine.lowering.trace import trace
from agents.training.losses import MinibatchLoss

from .losses import HEADS, OBJECTIVES, PAIRS, Exact, loss_of, scalar

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
EXTRAS = ("", "uniform", "network")
#: One of each kind: narrow, wide, several factors, padded ones, bits, cumulative sums, statistics of the advantages.
COMPILED = [
    ("ppo", "softmax 2", "uniform"),
    ("ppo", "gaussian 6", ""),
    ("spma", "tsallis 18", "network"),
    ("lco", "gaussian 1", ""),
    ("mdpo sampled", "softmax 1", ""),
    ("lco log_cosh", "binned ordinal", ""),
    ("trpo-r", "tsallis unequal", "uniform"),
    ("spma target", "tsallis bits", "uniform"),
]


def minibatch(rollout: Example, rows: np.ndarray) -> Example:
    """Some rows of a made-up rollout that is a minibatch as a whole."""
    place = np.argsort(rollout.rows)[rows]
    return Example(rollout.parameters[place], rollout.values[place], rollout.columns, rows, rollout.advantages[place])


def assert_lowers(objective: str, head: str, extras: str, executor: str) -> LoweredGradient:
    loss = loss_of(objective, head, extras)
    gradient = make_gradient(loss, executor)
    assert isinstance(gradient, LoweredGradient)
    assert (gradient.executor, gradient.reason) == (executor, "")
    rollout = example(loss, 90, 90, seed=3)
    exact = Exact(loss, rollout)
    rng = np.random.default_rng(0)
    for batch_size in (1, 7, 64):
        exact.assert_agrees(gradient, minibatch(rollout, rng.permutation(90)[:batch_size]))
    tensors = [loss.ent_coef, *(value for value in vars(loss.objective).values() if isinstance(value, torch.Tensor))]
    for tensor in tensors:  # the schedules move on
        tensor.mul_(1.2)
    gradient.refresh()
    some = minibatch(rollout, rng.permutation(90)[:33])
    exact.assert_agrees(gradient, some)
    first = [array.copy() for array in gradient(*some)]
    gradient.refresh()
    for again, array in zip(gradient(*some), first, strict=True):
        np.testing.assert_array_equal(again, array)
    return gradient


@pytest.mark.parametrize("index", range(len(PAIRS)), ids=lambda i: "-".join(PAIRS[i]))
def test_numpy(index: int) -> None:
    gradient = assert_lowers(*PAIRS[index], EXTRAS[(index + index // len(HEADS)) % 3], "numpy")
    if find_spec("numba") is not None:  # Numba's loop can be written, too; compiling each would take an hour
        assert callable(gradient._compiled())


@needs_numba
@pytest.mark.parametrize("case", COMPILED, ids="-".join)
def test_numba(case: tuple[str, str, str]) -> None:
    assert_lowers(*case, "numba")


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize("extras", EXTRAS)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_numba_everything(pair: tuple[str, str], extras: str) -> None:
    assert_lowers(*pair, extras, "numba")


@dataclass(frozen=True)
class Peculiar:
    """The plain policy gradient with something in it."""

    twist: Any

    def __call__(self, new: Any, old: Any, actions: torch.Tensor, advantages: torch.Tensor) -> PolicyLoss:
        log_ratio = sampled_log_ratio(new, old, actions)
        return PolicyLoss(self.twist(log_ratio, advantages), {"approx_kl": log_ratio.detach()})


def peculiar(twist: Any) -> MinibatchLoss:
    return replace(loss_of("ppo", "softmax 2"), objective=Peculiar(twist))


@pytest.mark.parametrize(
    ("twist", "reason"),
    [
        (lambda r, a: -r * a / r.detach().abs().mean(), "statistic over the batch"),
        (lambda r, a: -r * a * (2.0 if a.sum() > 0 else 1.0), "reads a number"),
        (lambda r, a: -r * a * torch.erf(r.detach()), "operation erf is not known"),
        (lambda r, a: -r * a.flip(0), "mixes rows"),
        (lambda r, a: -r * a * torch.arange(len(a)), "place in the batch"),
    ],
)
def test_autograd_takes_over_with_a_reason(twist: Any, reason: str) -> None:
    loss = peculiar(twist)
    gradient = make_gradient(loss)
    assert gradient.executor == "torch"
    assert reason in gradient.reason
    made_up = example(loss, 7, 20)
    Exact(loss, made_up).assert_agrees(gradient, made_up)


@pytest.mark.parametrize(
    "twist",
    [
        lambda r, a: -r * (a - a.mean()) / a.square().mean().sqrt() * len(a),
        lambda r, a: -r * torch.softmax(a, 0) * len(a) + (a - a.logsumexp(0)) * r.square(),
        lambda r, a: torch.tanh(r) * a.abs() + torch.sigmoid(r * a) + torch.nn.functional.softplus(r),
        lambda r, a: torch.exp2(r) + torch.rsqrt(1 + r * r) + (2 + r.square()).reciprocal() * a.sign(),
        lambda r, a: (r + 9).pow(1.5) + torch.xlogy(a.square(), 1 + r.square()) + r.clamp_max(0.1) * a.sgn(),
        lambda r, a: torch.addcmul(r, a, r, value=0.5) + r.masked_fill(a < 0, 0.0) - torch.rsub(r, a, alpha=2),
        lambda r, a: torch.stack([r, a * r, r.exp()], -1).logsumexp(-1) + torch.stack([r, a], -1).flip(-1)[:, 0],
        lambda r, a: torch.where((a > 0) & ~(r > 0.1) | (r < -1), r, a * r) + torch.stack([r, r * a], -1).mean(-1),
        lambda r, a: torch.softmax(torch.stack([r, a * r, r + 1], -1), -1).norm(dim=-1),
    ],
)
def test_what_else_lowers(twist: Any) -> None:
    loss = peculiar(twist)
    gradient = make_gradient(loss, "numpy")
    assert (gradient.executor, gradient.reason) == ("numpy", "")
    made_up = example(loss, 64, 80)
    Exact(loss, made_up).assert_agrees(gradient, made_up)


def test_a_wrong_translation_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(aten.ELEMENTWISE, "minimum", lambda g, x, y: g("max", x, y))
    gradient = make_gradient(loss_of("ppo", "softmax 2"), "numpy")
    assert gradient.executor == "torch"
    assert "differ from autograd" in gradient.reason


def test_numpy_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    gradient = make_gradient(loss_of("ppo", "softmax 2"))
    assert gradient.executor == "numpy"
    assert "numba" in gradient.reason


def test_numpy_where_numba_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(modules, "compiled", fail)
    gradient = make_gradient(loss_of("ppo", "softmax 2"))
    assert gradient.executor == "numpy"
    assert "no compiler" in gradient.reason


def test_an_error_of_torch_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(loss: MinibatchLoss) -> None:
        raise AttributeError("another torch")

    monkeypatch.setattr(lower, "trace", fail)
    gradient = make_gradient(loss_of("ppo", "softmax 2"))
    assert gradient.executor == "torch"
    assert "another torch" in gradient.reason


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_source_is_the_same_each_time(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[str] = []
    monkeypatch.setattr(modules, "compiled", sources.append)
    for _ in range(2):
        LoweredGradient(trace(loss_of(objective, "binned ordinal", "network")), "numba")
    assert sources[0] == sources[1]


@needs_numba
def test_compiled_code_is_kept_where_it_can_be(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from numba import njit\n\n\n@njit(cache=CACHE)\ndef kernel(x):\n    return x + 1\n"
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, again = modules.compiled(source), modules.compiled(source)
    assert (first(1), again(1)) == (2, 2)
    assert sum(again.stats.cache_hits.values()) == 1
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder
    assert modules.compiled(source)(2) == 3


@needs_numba
def test_elementary_functions() -> None:
    from numba import njit

    from agents.training.engine.lowering import numba_functions as functions

    exp, expm1, log, log1p = functions.exp, functions.expm1, functions.log, functions.log1p

    @njit
    def all_of(x, y, out):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            out[0, i], out[1, i], out[2, i], out[3, i] = exp(x[i]), expm1(x[i]), log(y[i]), log1p(x[i])

    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(3000) * scale for scale in (1e-6, 1e-3, 0.3, 3, 25)]).astype(np.float32)
    y = np.exp(rng.uniform(-100, 80, len(x))).astype(np.float32)
    out = np.empty((4, len(x)), np.float32)
    all_of(x, y, out)
    with np.errstate(invalid="ignore"):
        exact = [f(z.astype(np.float64)) for f, z in ((np.exp, x), (np.expm1, x), (np.log, y), (np.log1p, x))]
    for found, right in zip(out, exact, strict=True):
        np.testing.assert_allclose(found, right, rtol=1.3e-7, atol=1e-38)
    edges = np.array([np.inf, -np.inf, 0, np.nan, -1], np.float32)
    out = np.empty((4, 5), np.float32)
    all_of(edges, edges, out)
    with np.errstate(all="ignore"):
        expected = np.array([np.exp(edges), np.expm1(edges), np.log(edges), np.log1p(edges)])
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_torch_compiler_stays_out() -> None:
    code = (
        "import sys\n"
        "from tests.training.engine.losses import loss_of\n"
        "from agents.training.engine.lowering import make_gradient\n"
        "assert make_gradient(loss_of('ppo', 'gaussian 6'), 'numpy').executor == 'numpy'\n"
        "assert 'torch._dynamo' not in sys.modules and 'sympy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_scalar_may_be_a_plain_number() -> None:
    loss = replace(loss_of("ppo", "softmax 2"), objective=OBJECTIVES["ppo"](0.2), ent_coef=scalar(0.0))
    gradient = make_gradient(loss, "numpy")
    assert gradient.executor == "numpy"
    made_up = example(loss, 7, 20)
    Exact(loss, made_up).assert_agrees(gradient, made_up)
