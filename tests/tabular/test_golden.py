"""Every tabular golden case: exact values, gradients and update rules against an independent float64 reference."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from agents.geometry import divergence_from_name
from agents.tabular import (
    FiniteMDP,
    TabularPolicy,
    f_pg,
    lin_spg_update,
    npg,
    policy_gradient,
    ppo_clip,
    spg,
    spma,
    spma_gap,
)
from agents.tabular.operators import divergence_of

CASES = json.loads((Path(__file__).parents[1] / "golden" / "cases.json").read_text())["cases"]
TABULAR = [case for case in CASES if case["kind"] == "tabular"]
NAMES = {"kl": "kl", "rkl": "reverse_kl", "js": "js", "chi2": "chi2", "hellinger": "hellinger"}


def numbers(values):
    return np.array([float.fromhex(v) for v in values])


def problem(case, sparsely):
    data = case["mdp"]
    if data is None:
        return FiniteMDP.bandit(numbers(case["params"]["r"]))
    S, A = data["shape"]
    P = numbers(data["P"]).reshape(S, A, S)
    if sparsely:
        P = sparse.csr_array(P.reshape(S * A, S))
    return FiniteMDP(P, numbers(data["R"]).reshape(S, A), float.fromhex(data["gamma"]), numbers(data["rho"]))


def divergence_in(params):
    name = params.get("gen", "kl")
    return divergence_from_name(NAMES.get(name) or f"tsallis:{params['alpha']!r}")


def exact_outputs(case, mdp):
    """The outputs of the cases that iterate nothing."""
    params, divergence = case["params"], divergence_in(case["params"])
    coef = float.fromhex(params.get("lam", "0x0p+0"))
    if case["what"] == "optimal":
        V, Q, _ = mdp.optimal()
        return {"V": V, "V_rho": mdp.rho @ V, "greedy": Q.argmax(-1)}
    if case["what"] == "optimal_regularised":
        V, _, probs = mdp.optimal_regularized(divergence, coef)
        return {"V": V, "pi": probs}
    theta = numbers(params["theta"]).reshape(mdp.r.shape)
    probs = TabularPolicy(divergence).probs(theta)
    V = mdp.evaluate(probs, coef * divergence_of(probs, divergence))[0]
    grad = policy_gradient(mdp, theta, divergence, coef)
    return {"V": V, "V_lam": V, "V_rho": mdp.rho @ V, "visitation": mdp.visitation(probs), "pi": probs, "grad": grad}


def iterated_outputs(case, mdp):
    """The outputs of the cases `<rule>_<number>_steps` and `<rule>_<number>_outer_<number>_inner`."""
    rule, count, inner = re.fullmatch(r"(.+?)_(\d+)_(?:steps|outer(?:_(\d+)_inner)?)", case["what"]).groups()
    params, divergence = case["params"], divergence_in(case["params"])
    coef, step, eta, eps = (float.fromhex(params.get(k, "0x0p+0")) for k in ("lam", "step", "eta", "eps"))
    X = numbers(params["X"]).reshape(mdp.n_actions, -1) if "X" in params else None
    updates = {
        "f_pg": lambda theta: f_pg(mdp, theta, divergence, coef, step),
        "spma": lambda theta: spma(mdp, theta, eta),
        "npg": lambda theta: npg(mdp, theta, eta),
        "spg": lambda theta: spg(mdp, theta, step),
        "ppo_clip_f": lambda theta: ppo_clip(mdp, theta, divergence, coef, step, int(inner), eps),
        "spma_gap_bandit": lambda theta: spma_gap(mdp, theta),
        "lin_spg": lambda theta: lin_spg_update(X, mdp.r[0], theta, eta),
    }
    theta = numbers(params["theta0"]) if "theta0" in params else np.zeros(mdp.r.size)
    theta = theta if X is not None else theta.reshape(mdp.r.shape)
    for _ in range(int(count)):
        theta = updates[rule](theta)
    policy = TabularPolicy(divergence if rule == "f_pg" else divergence_from_name("kl"))
    probs = policy.probs(theta if X is None else (X @ theta)[None])
    return {"theta": theta, "pi": probs, "V_rho": mdp.rho @ mdp.evaluate(probs)[0]}


@pytest.mark.parametrize("sparsely", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("case", TABULAR, ids=[f"{c['id']}-{c['what']}" for c in TABULAR])
def test_matches_to_1e_9(case, sparsely):
    iterated = case["what"].endswith(("_steps", "_inner"))
    outputs = (iterated_outputs if iterated else exact_outputs)(case, problem(case, sparsely))
    for name, wanted in case["out"].items():
        np.testing.assert_allclose(np.ravel(outputs[name]), np.array(wanted, float).ravel(), rtol=1e-9, err_msg=name)
