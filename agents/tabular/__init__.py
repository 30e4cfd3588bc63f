"""Exact theory on arrays: finite MDPs, policies, their update rules and the tools for linear softmax policies.

    from agents.tabular import FiniteMDP, spma
    theta = spma(FiniteMDP(P, r, gamma, rho), theta, eta=0.1)

float64 NumPy throughout; names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "mdp": ("FiniteMDP",),
    "policies": ("EscortPolicy", "LogLinearPolicy", "Policy", "TabularPolicy"),
    "gradients": ("Regularizer", "policy_gradient", "value", "value_and_gradient"),
    "steps": ("Armijo", "StepSizeWarning", "warn_beyond"),
    "updates": (
        "f_pg",
        "gradient_ascent",
        "mdpo",
        "npg",
        "spg",
        "spg_armijo",
        "spg_theory_step",
        "spma",
        "spma_capped",
        "spma_gap",
    ),
    "clipping": ("ppo_clip", "ppo_clip_step_bound"),
    "sampling": ("Trajectories", "trajectories"),
    "stochastic": ("Sampler", "f_pg_stochastic", "gradient_estimate"),
    "logits_convex": ("lco", "lco_gradient", "lco_target"),
    "projected": ("mdpo_projected", "spma_projected"),
    "baselines": ("escort", "hadamard", "log_barrier"),
    "linear_bandits": ("lin_spg_stochastic", "lin_spg_update"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
