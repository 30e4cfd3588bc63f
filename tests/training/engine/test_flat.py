"""Parameters and Adam's state stay views of flat buffers, or become so again; steps are those of torch's Adam."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents import PPO
from agents.policies import MlpPolicy
from agents.training.engine.adam import FlatAdam
from agents.training.engine.flat import FlatParameters
from agents.training.engine.mlp import MlpSpec, recognise
from envs import make_vec

EXECUTORS = ("numba", "numpy") if find_spec("numba") else ("numpy",)
VECTORS = spaces.Box(-1, 1, (3,))


def policy_of(action_space: spaces.Space | None = None, **kwargs: Any) -> MlpPolicy:
    return MlpPolicy(VECTORS, action_space or spaces.Box(-1, 1, (2,)), lambda _: 3e-3, net_arch=[8], **kwargs)


def flattened(policy: MlpPolicy, executor: str = "numpy") -> FlatAdam:
    spec = recognise(policy)
    assert isinstance(spec, MlpSpec)
    return FlatAdam(policy.optimizer, FlatParameters(spec.actor_parameters, spec.critic_parameters), executor)


def set_gradient(policy: MlpPolicy, flat: FlatParameters | None, scale: float = 1.0) -> None:
    """The same random gradient in the flat buffer, or in the parameters of another policy of the same shape."""
    spec = recognise(policy)
    assert isinstance(spec, MlpSpec)
    for p in (*spec.actor_parameters, *spec.critic_parameters):
        p.grad = scale * torch.randn(p.shape)
    if flat is not None:
        flat.gradient[:] = np.concatenate([p.grad.numpy().ravel() for p in flat.parameters])  # type: ignore[union-attr]


def torch_step(policy: MlpPolicy, max_grad_norm: float | None = 0.5, scale: float = 1.0) -> Tensor:
    set_gradient(policy, None, scale)
    norm = nn.utils.clip_grad_norm_(policy.parameters(), max_grad_norm or np.inf)
    policy.optimizer.step()
    return norm


def flat_step(policy: MlpPolicy, adam: FlatAdam, max_grad_norm: float | None = 0.5, scale: float = 1.0) -> float:
    set_gradient(policy, adam.flat, scale)
    return adam.fused_step(adam.flat.all, adam.learning_rate, max_grad_norm, 0.0)


def assert_same_state(first: MlpPolicy, second: MlpPolicy, atol: float = 1e-7) -> None:
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=atol)
    ours, theirs = (policy.optimizer.state_dict() for policy in (first, second))
    assert ours["param_groups"] == theirs["param_groups"]
    torch.testing.assert_close(ours["state"], theirs["state"], rtol=1e-5, atol=3e-8)


def test_torch_and_numpy_see_each_others_writes() -> None:
    policy = policy_of()
    before = copy.deepcopy(policy.state_dict())
    adam = flattened(policy)
    torch.testing.assert_close(policy.state_dict(), before, rtol=0, atol=0)
    assert adam.flat.array.size == sum(p.numel() for p in policy.parameters())
    adam.flat.array[:] = 5
    assert all((p == 5).all() for p in policy.parameters())
    with torch.no_grad():
        policy.log_std.fill_(-1)
    assert (adam.flat.array == -1).sum() == 2
    assert (adam.flat.array[adam.flat.critic] == 5).all()
    policy.load_state_dict(before)
    policy.to("cpu").float()
    assert adam.check() and not adam.mend()


def whole_module_twice(policy: MlpPolicy, other: MlpPolicy) -> None:
    policy.double().float()


def one_parameter(policy: MlpPolicy, other: MlpPolicy) -> None:
    policy.value_net.bias.data = policy.value_net.bias.data.clone()


def moments_loaded(policy: MlpPolicy, other: MlpPolicy) -> None:
    policy.optimizer.load_state_dict(other.optimizer.state_dict())


def moments_forgotten(policy: MlpPolicy, other: MlpPolicy) -> None:
    policy.optimizer.state.clear()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("change", [whole_module_twice, one_parameter, moments_loaded, moments_forgotten])
def test_what_is_no_view_any_more_is_mended_with_its_values(change: Any, executor: str) -> None:
    policy, other = policy_of(), policy_of()
    adam = flattened(policy, executor)
    for _ in range(3):
        flat_step(policy, adam)
        torch_step(other), torch_step(other)
    change(policy, other)
    assert not adam.check()
    plain = copy.deepcopy(policy)  # has storage of its own, and an optimiser that torch made
    assert adam.mend() and adam.check() and not adam.mend()
    assert_same_state(policy, plain, atol=0)
    torch.manual_seed(1)
    flat_step(policy, adam)
    torch.manual_seed(1)
    torch_step(plain)
    assert_same_state(policy, plain)


def test_a_copy_is_independent() -> None:
    policy = policy_of()
    adam = flattened(policy)
    flat_step(policy, adam)
    copied = copy.deepcopy(policy)
    state = copy.deepcopy(copied.state_dict())
    flat_step(policy, adam)
    torch.testing.assert_close(copied.state_dict(), state, rtol=0, atol=0)
    assert adam.check()
    flattened(copied)
    assert adam.check()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(("max_grad_norm", "scale"), [(0.5, 1.0), (0.5, 1e-3), (None, 1.0)])
def test_steps_are_those_of_torch(max_grad_norm: float | None, scale: float, executor: str) -> None:
    policy = policy_of()
    plain = copy.deepcopy(policy)
    adam = flattened(policy, executor)
    assert policy.optimizer.state_dict()["state"] == {}
    for step in range(12):
        torch.manual_seed(step)
        norm = flat_step(policy, adam, max_grad_norm, scale)
        torch.manual_seed(step)
        assert norm == pytest.approx(torch_step(plain, max_grad_norm, scale).item(), rel=1e-6)
        assert_same_state(policy, plain)
        if step == 5:  # from here on at another rate, and torch makes one of the steps
            for p in (policy, plain):
                p.optimizer.param_groups[0]["lr"] = 1e-4
                torch.manual_seed(99)
                torch_step(p)
    assert adam.check()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_parts_count_their_own_steps(executor: str) -> None:
    policy = policy_of()
    plain = copy.deepcopy(policy)
    adam = flattened(policy, executor)
    actor, critic = plain.actor_and_critic_parameters()
    for step, name in enumerate(("actor", "actor", "critic", "all", "actor", "all", "all", "critic", "all")):
        torch.manual_seed(step)
        set_gradient(policy, adam.flat)
        norm = adam.fused_step(getattr(adam.flat, name), 3e-3, 0.5, 0.0)
        torch.manual_seed(step)
        set_gradient(plain, None)
        for p in {"actor": critic, "critic": actor, "all": []}[name]:
            p.grad = None
        assert norm == pytest.approx(nn.utils.clip_grad_norm_(plain.parameters(), 0.5).item(), rel=1e-6)
        plain.optimizer.step()
        assert_same_state(policy, plain)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_moves_nothing(bad: float, executor: str) -> None:
    policy = policy_of()
    adam = flattened(policy, executor)
    for _ in range(2):
        before = copy.deepcopy((policy.state_dict(), policy.optimizer.state_dict()))
        set_gradient(policy, adam.flat)
        adam.flat.gradient[3] = bad
        with pytest.raises(FloatingPointError, match=r"gradient's norm is (nan|inf) \(loss 1.5\): the update was not"):
            adam.fused_step(adam.flat.all, 3e-3, 0.5, 1.5)
        torch.testing.assert_close(policy.state_dict(), before[0], rtol=0, atol=0)
        torch.testing.assert_close(policy.optimizer.state_dict(), before[1], rtol=0, atol=0)
        flat_step(policy, adam)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_saved_and_loaded_runs_continue_in_either_engine(executor: str, tmp_path: Path) -> None:
    model = PPO("MlpPolicy", make_vec("Pendulum-v1"), seed=0, policy_kwargs={"net_arch": [8]}, device="cpu")
    adam = flattened(model.policy, executor)
    flat_step(model.policy, adam), flat_step(model.policy, adam)
    model.save(tmp_path / "model")
    fused, plain = (PPO.load(tmp_path / "model", device="cpu") for _ in range(2))
    assert_same_state(model.policy, plain.policy, atol=0)
    again = flattened(fused.policy, executor)
    for step in range(3):
        torch.manual_seed(step)
        flat_step(model.policy, adam)
        torch.manual_seed(step)
        flat_step(fused.policy, again)
        torch.manual_seed(step)
        torch_step(plain.policy)
    assert_same_state(model.policy, fused.policy, atol=0)
    assert_same_state(model.policy, plain.policy)
    model.set_parameters(plain.get_parameters())
    adam.mend()
    assert adam.check()
    assert_same_state(model.policy, plain.policy, atol=0)
