"""LCO, Logits Convex Optimization, on finite MDPs: regression of the logits on z + A / beta (arXiv 2603.00963).

Dense: every action's advantage is known, target z* = z_old + A / beta. Sparse: only the sampled action's entry is
shifted, and what is optimised is the expectation over a ~ pi_old of the loss to that target.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..suggest import closest
from .checks import Array
from .gradients import per_run
from .mdp import FiniteMDP
from .operators import f_prime_of
from .policies import SOFTMAX, TabularPolicy

Match = Literal["kld", "mse", "log_cosh"]
Advantages = Literal["dense", "sparse"]
MATCHES = ("kld", "mse", "log_cosh")
FORMS = ("dense", "sparse")


def lco(
    mdp: FiniteMDP,
    theta: Array,
    beta: float,
    match: Match = "kld",
    advantages: Advantages = "dense",
    step: ArrayLike | None = None,
    n_inner: int = 1,
    policy: TabularPolicy = SOFTMAX,
) -> Array:
    """One outer update of theta [..., S, A]: to the exact minimiser (step None), or n_inner gradient steps towards it.

    Gradient steps are on E_{s ~ d}[loss(z(s))], d the normalised visitation of the old policy; each loss is the mean
    over the actions (mse, log_cosh) or the Fenchel-Young loss of the policy's generator, KL(pi* || pi) for the softmax
    (kld). Dense minimisers are NPG's step with eta = 1 / beta; sparse mse is in expectation a policy gradient step.

    Raises:
        ValueError: for another match or form of advantages, or beta <= 0.
    """
    _check(match, advantages, beta)
    old = policy.probs(theta)
    chain = mdp.chain(old)
    shift = mdp.values(chain, old)[2] / beta
    if step is None:
        return lco_target(policy, theta, old, shift, match, advantages)
    scale = per_run(step, 2) * mdp.visits(chain)[..., None]
    logits = theta
    for _ in range(n_inner):
        logits = logits - scale * lco_gradient(policy, logits, theta, old, shift, match, advantages)
    return logits


def lco_target(
    policy: TabularPolicy, z_old: Array, old: Array, shift: Array, match: Match, advantages: Advantages
) -> Array:
    """The logits [..., S, A] that minimise the loss exactly; shift = A / beta, old = pi(z_old).

    Sparse: z_old + pi_old A / beta (mse), the logits of the mixture E_a[pi*_a] (kld), and by coordinate the root x of
    pi_old tanh(x - A / beta) + (1 - pi_old) tanh(x) = 0 (log_cosh).
    """
    if advantages == "dense":
        return z_old + shift
    if match == "mse":
        return z_old + old * shift
    if match == "kld":
        return f_prime_of(_mixture(policy, z_old, old, shift), policy.divergence, policy.reference)
    return z_old + _log_cosh_root(old, shift)


def lco_gradient(
    policy: TabularPolicy, z: Array, z_old: Array, old: Array, shift: Array, match: Match, advantages: Advantages
) -> Array:
    """d loss / dz [..., S, A] at the logits z, for each state alone; shift = A / beta, old = pi(z_old).

    mse 2 (z - z*) / n, log_cosh tanh(z - z*) / n, kld pi_z - pi*; sparse: their expectations over a ~ old.
    """
    n, moved = z.shape[-1], z - z_old
    if match == "kld":
        dense = advantages == "dense"
        target = policy.probs(z_old + shift) if dense else _mixture(policy, z_old, old, shift)
        return policy.probs(z) - target
    if match == "mse":
        return 2.0 / n * (moved - (shift if advantages == "dense" else old * shift))
    if advantages == "dense":
        return np.tanh(moved - shift) / n
    return (old * np.tanh(moved - shift) + (1.0 - old) * np.tanh(moved)) / n


def _mixture(policy: TabularPolicy, z_old: Array, old: Array, shift: Array) -> Array:
    """E_{a ~ old}[pi*_a], pi*_a the policy of z_old with entry a alone shifted: [..., S, A]."""
    shifted = z_old[..., None, :] + shift[..., None, :] * np.eye(z_old.shape[-1])
    if policy.reference is None or policy.reference.ndim == 1:
        targets = policy.probs(shifted)
    else:
        targets = TabularPolicy(policy.divergence, policy.reference[:, None, :]).probs(shifted)
    return (old[..., None, :] @ targets)[..., 0, :]


def _log_cosh_root(share: Array, shift: Array) -> Array:
    """x with share tanh(x - shift) + (1 - share) tanh(x) = 0: x = (shift - asinh((1 - 2 share) sinh(shift))) / 2.

    Beyond the range of sinh the asinh is linear.
    """
    near, slope = np.clip(shift, -700.0, 700.0), 1.0 - 2.0 * share
    return 0.5 * (shift - np.arcsinh(slope * np.sinh(near)) - np.sign(slope) * (shift - near))


def _check(match: str, advantages: str, beta: float) -> None:
    if match not in MATCHES:
        raise ValueError(f"match={match!r}: expected one of {', '.join(MATCHES)}{closest(match, MATCHES)}")
    if advantages not in FORMS:
        raise ValueError(f"advantages={advantages!r}: expected one of {', '.join(FORMS)}{closest(advantages, FORMS)}")
    if not beta > 0.0:
        raise ValueError(f"beta={beta!r}: must be positive")
