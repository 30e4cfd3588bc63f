"""The objective's gradient by autograd: what the torch engine computes, on arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.training.diagnostics import Diagnostics, detailed_diagnostics
from agents.training.engine.gradients import EagerGradient, example
from agents.training.rollouts import Minibatch

from .losses import HEADS, loss_of


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("batch_size", [1, 7])
def test_as_the_torch_engine(head: str, batch_size: int) -> None:
    loss = loss_of("spma", head, "network")
    made_up = example(loss, batch_size, 20)
    found = EagerGradient(loss)(*made_up)
    parameters = torch.from_numpy(made_up.parameters.copy()).requires_grad_()
    values = torch.from_numpy(made_up.values.copy()).requires_grad_()
    batch = Minibatch(None, *(None if c is None else torch.from_numpy(c[made_up.rows]) for c in made_up.columns[1:]))
    losses = loss(parameters, values, None, batch)
    losses.policy.mean().backward(retain_graph=True)
    losses.value.mean().backward(retain_graph=True)
    np.testing.assert_array_equal(found.d_parameters, parameters.grad.numpy())
    np.testing.assert_array_equal(found.d_values, values.grad.numpy())

    diagnostics = Diagnostics()
    new = loss.head(parameters, None)
    detailed = detailed_diagnostics(new, batch.advantages, losses.objective, parameters)
    diagnostics.record(losses.metrics | detailed | {"policy_loss": losses.policy})
    expected = diagnostics.means()
    metrics = dict(zip(EagerGradient(loss).metric_names, found.metrics, strict=True))
    assert metrics.keys() == expected.keys()
    np.testing.assert_allclose([metrics[name] for name in expected], list(expected.values()), rtol=1e-5, atol=1e-7)


def test_scalars_and_columns_are_read_anew() -> None:
    loss = loss_of("ppo", "softmax 18")
    gradient = EagerGradient(loss)
    first, second = example(loss, 32, 40), example(loss, 32, 40, seed=1)
    before = gradient(*first).d_parameters.copy()
    assert np.abs(gradient(*second).d_parameters - EagerGradient(loss)(*second).d_parameters).max() == 0
    loss.objective.clip_range.fill_(0.01)
    gradient.refresh()
    after = gradient(*first).d_parameters
    assert np.abs(after - before).max() > 0
    np.testing.assert_array_equal(after, EagerGradient(loss)(*first).d_parameters)


def test_an_example_leaves_torch_random_state_alone() -> None:
    state = torch.get_rng_state()
    example(loss_of("ppo", "gaussian 6"), 3, 5)
    assert torch.equal(state, torch.get_rng_state())
