"""The linear rate of gradient ascent near a regularised optimum, from the curvature there.

At the optimum Q - coef f'(pi / q) is the same for all actions, so a small change of the logits changes pi by J dz and
the gradient by -coef d(s) / (1 - gamma) J diag(f''(pi / q) / q) J dz: the values Q change to second order only, and
each state relaxes by itself. The slowest mode of all is the rate.
"""

from __future__ import annotations

import numpy as np

from agents.geometry import Divergence
from agents.tabular import FiniteMDP
from agents.tabular.checks import Array
from agents.tabular.operators import sensitivity


def slowest_mode(mdp: FiniteMDP, probs: Array, policy: Divergence, regularizer: Divergence, coef: float) -> float:
    """The smallest curvature m > 0 of V_coef(rho) over the logits at its optimum pi [S, A], uniform references.

    Gradient ascent with a small step multiplies the distance by 1 - step m, the suboptimality by its square. 0 if the
    optimum is on the boundary of the simplex, which no logits reach.
    """
    if not (probs > 0.0).all():
        return 0.0
    weights = sensitivity(probs, policy)
    weights_reg = sensitivity(probs, regularizer)
    visits = mdp.visitation(probs) / (1.0 - mdp.gamma)
    modes = []
    for w, v, visited in zip(weights, weights_reg, visits, strict=True):
        jacobian = np.diag(w) - np.outer(w, w) / w.sum()
        modes.append(coef * visited * np.linalg.eigvalsh(jacobian @ np.diag(1.0 / v) @ jacobian)[1])
    return float(min(modes))
