"""Both executors of the trunk against autograd in double precision: any depth, width, activation and batch."""

from __future__ import annotations

import copy
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.policies import MlpPolicy
from agents.training.engine.flat import FlatParameters
from agents.training.engine.mlp import MlpSpec, recognise
from agents.training.engine.trunk import Trunk, executor_named, make_trunk

EXECUTORS = ("numba", "numpy") if find_spec("numba") else ("numpy",)
NETWORKS: dict[str, Any] = {
    "linear": [],
    "narrow": [5],
    "usual": [64, 64],
    "odd": {"pi": [7, 19, 33], "vf": [70]},
    "shared": {"pi": [9], "vf": []},
}
SHARED = {"features_extractor_class": "SharedMlp", "features_extractor_kwargs": {"net_arch": [11, 6]}}
ACTIONS = {
    "1 Gaussian": spaces.Box(-1, 1, (1,)),
    "3 Gaussian": spaces.Box(-1, 1, (3,)),
    "2": spaces.Discrete(2),
    "18": spaces.Discrete(18),
}


def policy_of(actions: str = "2", network: str = "usual", size: int = 5, **kwargs: Any) -> MlpPolicy:
    space, net_arch = ACTIONS[actions], NETWORKS[network]
    if network == "shared":
        activation_fn = kwargs.get("activation_fn", nn.Tanh)
        kwargs |= copy.deepcopy(SHARED)
        kwargs["features_extractor_kwargs"]["activation_fn"] = activation_fn
    policy = MlpPolicy(spaces.Box(-1, 1, (size,)), space, lambda _: 3e-4, net_arch=net_arch, ortho_init=False, **kwargs)
    if policy.head.has_log_std:
        nn.init.normal_(policy.log_std)
    return policy


def trunk_of(policy: MlpPolicy, executor: str) -> tuple[Trunk, FlatParameters]:
    spec = recognise(policy)
    assert isinstance(spec, MlpSpec)
    flat = FlatParameters(spec.actor_parameters, spec.critic_parameters)
    return make_trunk(spec, flat, executor), flat


def outputs(policy: MlpPolicy, observations: Tensor) -> tuple[Tensor, Tensor]:
    """Head parameters and values in the precision of the policy, which `policy.evaluate` would make single."""
    features = policy.features_extractor(observations)
    parameters = policy._head_parameters(policy.mlp_extractor.forward_actor(features))
    return parameters, policy.value_net(policy.mlp_extractor.forward_critic(features))[:, 0]


def gradients(policy: MlpPolicy, observations: np.ndarray, *d_outputs: np.ndarray) -> dict[str, np.ndarray]:
    """Of each parameter by name, by autograd in the precision of the policy."""
    dtype = policy.action_net.weight.dtype
    inputs, *weights = (torch.from_numpy(array).to(dtype) for array in (observations, *d_outputs))
    names, parameters = zip(*policy.named_parameters(), strict=True)
    found = torch.autograd.grad(outputs(policy, inputs), parameters, weights)
    return {name: gradient.double().numpy() for name, gradient in zip(names, found, strict=True)}


def normal(*shape: int) -> np.ndarray:
    return np.random.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("activation_fn", [nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_forward_and_backward_against_double_precision(
    network: str, actions: str, activation_fn: Any, executor: str
) -> None:
    policy = policy_of(actions, network, activation_fn=activation_fn)
    double = copy.deepcopy(policy).double()
    trunk, flat = trunk_of(policy, executor)
    names = {id(p): name for name, p in policy.named_parameters()}
    flat_order = [names[id(p)] for p in flat.parameters]
    order = {"actor": flat_order[: flat.n_actor], "critic": flat_order[flat.n_actor :]}
    gradient_views = (view.numpy() for view in flat.views(flat.gradient_tensor))
    views = dict(zip(flat_order, gradient_views, strict=True))
    observations = normal(400, 5)
    for batch_size in (1, 7, 64, 256, 300):
        rows = np.random.permutation(400)[:batch_size]
        parameters, values = trunk.forward(observations, rows)
        expected = outputs(double, torch.from_numpy(observations[rows]).double())
        for ours, theirs in zip((parameters, values), expected, strict=True):
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=2e-6)
        d_outputs = normal(*parameters.shape), normal(batch_size)
        trunk.backward(*d_outputs)
        exact, eager = (gradients(p, observations[rows], *d_outputs) for p in (double, policy))
        for part in ("actor", "critic"):
            fused, torchs, reference = (
                np.concatenate([found[name].ravel() for name in order[part]]) for found in (views, eager, exact)
            )
            allowed = max(1e-6 * abs(reference).max(), 2 * abs(torchs - reference).max())
            assert abs(fused - reference).max() <= allowed, (part, batch_size)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_each_network_alone(executor: str) -> None:
    policy = policy_of("3 Gaussian")
    trunk, flat = trunk_of(policy, executor)
    observations, rows = normal(2100, 5), np.arange(50, 10, -1)
    parameters, values = (array.copy() for array in trunk.forward(observations, rows))
    d_parameters, d_values = normal(*parameters.shape), normal(len(rows))
    trunk.backward(d_parameters, d_values)
    both = trunk.gradient.copy()
    assert trunk.gradient is flat.gradient

    np.testing.assert_allclose(trunk.actor(observations[rows]), parameters, atol=1e-6)
    np.testing.assert_allclose(trunk.critic(observations)[rows], values, atol=1e-6)
    with torch.no_grad():
        expected = policy.predict_values(torch.from_numpy(observations)).flatten().numpy()
    np.testing.assert_allclose(trunk.critic(observations), expected, atol=1e-6)

    trunk.gradient[:] = 7
    np.testing.assert_allclose(trunk.forward_critic(observations, rows), values, atol=1e-6)
    trunk.backward(None, d_values)
    assert (trunk.gradient[flat.actor] == 7).all()
    np.testing.assert_array_equal(trunk.gradient[flat.critic], both[flat.critic])
    trunk.forward(observations, rows)
    trunk.gradient[:] = 7
    trunk.backward(d_parameters, None)
    assert (trunk.gradient[flat.critic] == 7).all()
    np.testing.assert_array_equal(trunk.gradient[flat.actor], both[flat.actor])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("network", ["usual", "shared"])
def test_acting_between_forward_and_backward_changes_nothing(network: str, executor: str) -> None:
    trunk, _ = trunk_of(policy_of(network=network), executor)
    observations, rows = normal(64, 5), np.arange(64)
    gradients = []
    for between in (False, True):
        parameters, values = trunk.forward(observations, rows)
        kept = parameters.copy(), values.copy()
        if between:
            trunk.actor(normal(64, 5)), trunk.critic(normal(64, 5))
        np.testing.assert_array_equal(parameters, kept[0])
        np.testing.assert_array_equal(values, kept[1])
        trunk.backward(np.ones_like(parameters), np.ones_like(values))
        gradients.append(trunk.gradient.copy())
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("batch_size", [1, 33, 256])
def test_repeats_are_bit_identical(batch_size: int, executor: str) -> None:
    observations, rows, results = normal(300, 5), np.random.permutation(300)[:batch_size], []
    d_parameters, d_values = normal(batch_size, 6), normal(batch_size)
    for _ in range(2):
        torch.manual_seed(1)
        trunk, _ = trunk_of(policy_of("3 Gaussian", "odd"), executor)
        parameters, values = trunk.forward(observations, rows)
        trunk.backward(d_parameters, d_values)
        results.append((parameters.copy(), values.copy(), trunk.gradient.copy()))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("activation_fn", [nn.Tanh, nn.ReLU])
def test_nan_reaches_its_own_row_and_the_gradient(activation_fn: Any, executor: str) -> None:
    trunk, _ = trunk_of(policy_of(activation_fn=activation_fn), executor)
    observations = normal(40, 5)
    observations[3, 1] = np.nan
    parameters, values = trunk.forward(observations, np.arange(40))
    assert np.isnan(parameters[3]).all() and np.isnan(values[3])
    assert np.isfinite(np.delete(parameters, 3, 0)).all() and np.isfinite(np.delete(values, 3)).all()
    trunk.backward(np.ones_like(parameters), np.ones_like(values))
    assert np.isnan(trunk.gradient).any()


def test_tanh_of_the_compiled_kernels() -> None:
    kernels = pytest.importorskip("agents.training.engine.numba_kernels")
    edges = [0.0, -0.0, 1e-30, -1e-8, 9.09, 9.11, 89.0, 3e38, np.inf, -np.inf, np.nan]
    x = np.concatenate([np.linspace(-11, 11, 400_001), np.logspace(-12, 0, 10_001), edges]).astype(np.float32)
    y, exact = x.copy(), np.tanh(x.astype(np.float64))
    kernels.apply_tanh(y)
    np.testing.assert_allclose(y, exact, rtol=2e-7, atol=0)
    assert np.nanmax(abs(y - exact)) < 1e-7
    np.testing.assert_array_equal(np.signbit(y), np.signbit(x))


def test_executors_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    policy = policy_of()
    assert [trunk_of(policy, name)[0].name for name in ("auto", "numba", "numpy")] == ["numba", "numba", "numpy"]
    assert trunk_of(policy_of(network="shared"), "numba")[0].name == "numpy"
    with pytest.raises(ValueError, match=r"executor='nunba'.*did you mean 'numba'"):
        executor_named("nunba")
    monkeypatch.setitem(sys.modules, "numba", None)  # as where it is not installed
    assert trunk_of(policy, "auto")[0].name == "numpy"


def test_compiled_code_is_stale_when_another_kernel_file_changes() -> None:
    kernels, jit = (pytest.importorskip(f"agents.{name}") for name in ("training.engine.numba_kernels", "jit"))
    others = pytest.importorskip("agents.geometry.kernels")
    for kernel in (kernels.forward, others.log_softargmax_rows):
        assert kernel._cache._cache_file._source_stamp[1] == jit.SOURCES
