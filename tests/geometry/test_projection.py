"""The projection T_τ and the inverse of the f-softargmax."""

from __future__ import annotations

import pytest
import torch

from agents.geometry import KL, Tsallis, dual_variables, f_softargmax, project_logits, project_policy

REFERENCE = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)


@pytest.mark.parametrize("d", [KL(), Tsallis(0.1), Tsallis(0.5), Tsallis(0.9)], ids=str)
@pytest.mark.parametrize("reference", [None, REFERENCE], ids=["uniform", "reference"])
def test_dual_variables_invert_the_softargmax(d, reference):
    probs = torch.softmax(torch.randn(20, 4, dtype=torch.float64), -1)
    back = f_softargmax(dual_variables(probs, d, 0.3, reference), d, 0.3, reference)
    torch.testing.assert_close(back, probs)


def test_projection_of_a_policy():
    probs = torch.tensor([[0.001, 0.009, 0.19, 0.8], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
    projected = project_policy(probs, 0.1)
    torch.testing.assert_close(projected[0], torch.tensor([0.025, 0.025, 0.19, 0.76], dtype=torch.float64))
    assert torch.equal(projected[1], probs[1])
    with_reference = project_policy(probs[0], 0.1, REFERENCE)
    # the largest ratio is that of the last action: 0.8 / 0.4
    torch.testing.assert_close(with_reference, torch.tensor([0.01, 0.02, 0.19, 0.78], dtype=torch.float64))
    assert torch.equal(project_policy(probs, 0.0), probs)


def test_projection_of_logits():
    d, logits = Tsallis(0.5), torch.tensor([[9.0, 0.0, -40.0], [0.1, 0.2, 0.3]], dtype=torch.float64)
    projected = project_logits(logits, 0.05, d, 0.5)
    assert torch.equal(projected[1], logits[1])
    probs = f_softargmax(projected, d, 0.5)
    torch.testing.assert_close(probs, project_policy(f_softargmax(logits, d, 0.5), 0.05))
    assert (probs >= 0.05 / 3 - 1e-12).all()


def test_bad_tau():
    for tau in (-0.1, 0.6):
        with pytest.raises(ValueError, match="tau="):
            project_policy(REFERENCE, tau)
