"""GAE against the definition, with termination and truncation apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.training.advantages import generalized_advantages


def _by_definition(r, v, nv, term, ended, gamma, lam):  # type: ignore[no-untyped-def]
    """A_t as the explicit sum of discounted TD errors up to the end of the episode."""
    out = np.zeros_like(r)
    for t in range(len(r)):
        for n in range(r.shape[1]):
            weight = 1.0
            for k in range(t, len(r)):
                bootstrap = 0.0 if term[k, n] else gamma * nv[k, n]
                out[t, n] += weight * (r[k, n] + bootstrap - v[k, n])
                weight *= gamma * lam
                if ended[k, n]:
                    break
    return out


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0, 1), st.floats(0, 1))
def test_equals_the_definition(seed: int, length: int, gamma: float, lam: float) -> None:
    rng = np.random.default_rng(seed)
    r, v, nv = rng.normal(size=(3, length, 3)).astype(np.float32)
    term = rng.random((length, 3)) < 0.2
    ended = term | (rng.random((length, 3)) < 0.2)
    found = generalized_advantages(r, v, nv, term, ended, gamma, lam)
    np.testing.assert_allclose(found, _by_definition(r, v, nv, term, ended, gamma, lam), rtol=1e-4, atol=1e-4)
    assert found.dtype == np.float32


def test_termination_has_no_future_and_truncation_has() -> None:
    one, zero = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    yes, no = np.ones((1, 1), bool), np.zeros((1, 1), bool)
    terminated = generalized_advantages(one, zero, 10 * one, yes, yes, 0.5, 1.0)
    truncated = generalized_advantages(one, zero, 10 * one, no, yes, 0.5, 1.0)
    assert (terminated.item(), truncated.item()) == (1.0, 6.0)
