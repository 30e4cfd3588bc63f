"""Every golden case of the heads: the operator, its gradients and divergences against a 50-digit reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from agents.geometry import divergence_from_name, f_conjugate, f_log_softargmax

NAMES = {"kl": "kl", "rkl": "reverse_kl", "js": "js", "chi2": "chi2", "hellinger": "hellinger"}
CASES = json.loads((Path(__file__).parents[1] / "golden" / "cases.json").read_text())["cases"]
HEADS = [case for case in CASES if case["kind"] == "head"]


def exact(values, dtype=torch.float64):
    return torch.tensor([float.fromhex(v) for v in values], dtype=dtype)


def expected(values):
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


def divergence_of(case):
    return divergence_from_name(NAMES.get(case["gen"]) or f"tsallis:{case['alpha']!r}")


def same(actual, wanted, atol=1e-12):
    torch.testing.assert_close(actual, wanted, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("case", HEADS, ids=[c["id"] for c in HEADS])
def test_float64_matches_to_1e_9(case):
    d, out, v = divergence_of(case), case["out"], exact(case["v"])
    logits, reference = exact(case["x"]).requires_grad_(), exact(case["ref"])
    temperature = float.fromhex(case["lam"])
    log_probs = f_log_softargmax(logits, d, temperature, reference)
    probs = log_probs.exp()
    same(log_probs, expected(out["log_pi"]), atol=1e-15)
    same(probs, expected(out["pi"]), atol=0)
    (jvp,) = torch.autograd.grad(probs, logits, v, retain_graph=True)
    same(jvp, expected(out["jvp"]), atol=1e-13 * float(expected(out["jvp"]).abs().max()))
    if "vjp_log" in out:
        (vjp,) = torch.autograd.grad(log_probs, logits, v)
        same(vjp, expected(out["vjp_log"]), atol=1e-13 * float(expected(out["vjp_log"]).abs().max()))
    same(d.divergence(probs, reference).detach(), torch.tensor(float(out["D_f"]), dtype=torch.float64))
    value = f_conjugate(logits, d, temperature, reference)
    same(value.detach(), torch.tensor(float(out["value"]), dtype=torch.float64))
    (policy,) = torch.autograd.grad(value, logits)
    same(policy, expected(out["pi"]), atol=0)
