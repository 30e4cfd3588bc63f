"""The algorithms side by side: defaults and an objective each; everything else is `OnPolicy`."""

from __future__ import annotations

from typing import Any

from . import objectives
from .policies import ActorCriticPolicy
from .training.adaptive import AdaptiveEta
from .training.on_policy import OnPolicy
from .training.schedules import Schedule


class PPO(OnPolicy):
    """Proximal policy optimisation with a clipped ratio (Schulman et al. 2017); with SB3's heads it is SB3's PPO.

    Args:
        clip_range: epsilon; ratios are clipped to [1 - clip_range, 1 + clip_range].
        clip_range_high: the upper epsilon where it differs (arXiv 2512.16565); None: symmetric.
        common: see `OnPolicy`.
    """

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        learning_rate: float | str | Schedule = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: float | str | Schedule = 0.2,
        *,
        clip_range_high: float | str | Schedule | None = None,
        **common: Any,
    ) -> None:
        self.clip_range, self.clip_range_high = clip_range, clip_range_high
        super().__init__(policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, **common)

    def objective(self) -> objectives.Objective:
        """The clipped surrogate."""
        high = None if self.clip_range_high is None else self.scalar("clip_range_high")
        return objectives.PPOClip(self.scalar("clip_range"), high)


class SPMA(OnPolicy):
    """Softmax policy mirror ascent (arXiv 2411.12042): mirror ascent in the logits, projected by a few inner steps.

    The paper's MuJoCo setting is `batch_size=n_steps, step="armijo"`: full batch, line searches for actor and critic.

    Args:
        eta: step size of the mirror ascent, in units of 1 / (normalised) advantage; "auto" keeps 1 + eta A >= 0 and the
            measured KL near `target_kl` (0.02 if None), see `AdaptiveEta`.
        form: "kl", as released, or "target", the clamped and renormalised target (see `objectives.SPMA`).
        kl_estimator: "exact", or "sampled", the released code's estimator.
        common: see `Algorithm`; the paper's defaults differ from PPO's: 5 passes, no gradient clipping.
    """

    separate = True
    _adaptive: AdaptiveEta | None = None

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        learning_rate: float | str | Schedule = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 5,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        eta: float | str | Schedule = 0.3,
        *,
        form: str = "kl",
        kl_estimator: str = "exact",
        max_grad_norm: float | None = None,
        **common: Any,
    ) -> None:
        self.eta, self.form, self.kl_estimator = eta, form, kl_estimator
        if eta == "auto":
            self.normalize_per = "rollout"  # so that the bound on eta is one on what the objective sees
        common["max_grad_norm"] = max_grad_norm
        super().__init__(policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, **common)

    def objective(self) -> objectives.Objective:
        """-A log r + KL(old || new) / eta."""
        return objectives.SPMA(self.scalar("eta"), self.form, self.kl_estimator)

    def _setup_model(self) -> None:
        super()._setup_model()
        self._adaptive = AdaptiveEta(target_kl=self.target_kl or 0.02) if self.eta == "auto" else None

    def adaptive_state(self) -> dict[str, float]:
        """The step size that the measured KL has led to, with eta="auto"."""
        return {} if self._adaptive is None else {"eta_kl": self._adaptive.eta_kl}

    def load_adaptive_state(self, state: dict[str, float]) -> None:
        """Go on with the saved step size."""
        if self._adaptive is not None and "eta_kl" in state:
            self._adaptive.eta_kl = float(state["eta_kl"])

    @property
    def kl_limit(self) -> float | None:
        """As ever, except that with eta="auto" target_kl is what the step size aims at."""
        return None if self._adaptive is not None else super().kl_limit

    def _update_scalars(self) -> None:
        super()._update_scalars()
        if self._adaptive is not None:
            self.scalar("eta").fill_(self._adaptive.before_update(self.rollout_buffer.policy_advantages))

    def _after_update(self) -> None:
        super()._after_update()
        if self._adaptive is not None:
            self._adaptive.after_update(self.rollout_kl())


class MDPO(OnPolicy):
    """Mirror descent policy optimisation, on-policy (arXiv 2005.09814): full-batch actor steps, then critic passes.

    Args:
        eta: step size t_k; the paper anneals it as 1 - (k - 1) / K, that is "lin_1".
        common: see `Algorithm`; n_epochs is the paper's m = 10, the critic takes 5 passes in minibatches of 128.
    """

    separate = True
    normalize_per = "rollout"

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        learning_rate: float | str | Schedule = "lin_3e-4",
        n_steps: int = 2048,
        batch_size: int = 128,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        eta: float | str | Schedule = "lin_1",
        *,
        clip_range_vf: float | str | Schedule | None = 0.2,
        n_critic_updates: int = 5,
        **common: Any,
    ) -> None:
        self.eta = eta
        common |= {"clip_range_vf": clip_range_vf, "n_critic_updates": n_critic_updates}
        super().__init__(policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, **common)

    def objective(self) -> objectives.Objective:
        """-r A + KL(new || old) / eta."""
        return objectives.MDPO(self.scalar("eta"))


class LCO(OnPolicy):
    """Logits-convex optimisation (arXiv 2603.00963): match z_old + A / beta by a loss convex in the logits.

    Args:
        beta: KL coefficient; 1 / beta is the step size.
        match: "kld" (Fenchel-Young), "mse" or "log_cosh"; the last two need a head with scores.
        beta_negative: in place of beta where A <= 0 (None: the same).
        common: see `Algorithm`; `advantage="dense"` is the paper's main setting.
    """

    separate = True
    normalize_per = "rollout"

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        learning_rate: float | str | Schedule = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        beta: float | str | Schedule = 2.0,
        *,
        match: str = "kld",
        beta_negative: float | str | Schedule | None = None,
        **common: Any,
    ) -> None:
        self.beta, self.match, self.beta_negative = beta, match, beta_negative
        super().__init__(policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, **common)

    def objective(self) -> objectives.Objective:
        """The distance to the target with logits z_old + A / beta."""
        negative = None if self.beta_negative is None else self.scalar("beta_negative")
        return objectives.LCO(self.scalar("beta"), self.match, negative)


class TRPO(OnPolicy):
    """Trust-region policy optimisation (Schulman et al. 2015); arguments as in sb3-contrib's, whose KL it follows.

    sb3-contrib averages the KL of a Gaussian over action dimensions, this class sums it.

    Args:
        target_kl: radius of the trust region.
        cg_max_steps, cg_damping, line_search_shrinking_factor, line_search_max_iter: see `TrustRegionStep`.
        common: see `Algorithm`.
    """

    separate = True

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        learning_rate: float | str | Schedule = 1e-3,
        n_steps: int = 2048,
        batch_size: int = 128,
        gamma: float = 0.99,
        cg_max_steps: int = 15,
        cg_damping: float = 0.1,
        line_search_shrinking_factor: float = 0.8,
        line_search_max_iter: int = 10,
        n_critic_updates: int = 10,
        gae_lambda: float = 0.95,
        *,
        target_kl: float = 0.01,
        n_epochs: int = 1,
        step: str = "trust_region",
        max_grad_norm: float | None = None,
        **common: Any,
    ) -> None:
        self.cg_max_steps, self.cg_damping = int(cg_max_steps), cg_damping
        self.line_search_shrinking_factor = line_search_shrinking_factor
        self.line_search_max_iter = int(line_search_max_iter)
        common |= {
            "n_critic_updates": n_critic_updates,
            "target_kl": target_kl,
            "step": step,
            "max_grad_norm": max_grad_norm,
        }
        super().__init__(policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, **common)

    def objective(self) -> objectives.Objective:
        """-r A; the trust region is the step's."""
        return objectives.TrustRegion()

    def step_settings(self) -> dict[str, Any]:
        """sb3-contrib's arguments, for the step that takes them; step_kwargs goes before them."""
        names = ("cg_max_steps", "cg_damping", "line_search_shrinking_factor", "line_search_max_iter")
        own = {name: getattr(self, name) for name in names} if self.step == "trust_region" else {}
        return own | super().step_settings()


class REINFORCE(OnPolicy):
    """The policy gradient with a baseline (Williams 1992): one full-batch step per rollout, A2C for gae_lambda < 1.

    Args:
        common: see `Algorithm`; the critic takes n_critic_updates passes in minibatches.
    """

    separate = True
    normalize_per = "rollout"

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: Any,
        learning_rate: float | str | Schedule = 1e-3,
        n_steps: int = 256,
        batch_size: int = 64,
        n_epochs: int = 1,
        gamma: float = 0.99,
        gae_lambda: float = 1.0,
        *,
        n_critic_updates: int = 5,
        **common: Any,
    ) -> None:
        common["n_critic_updates"] = n_critic_updates
        super().__init__(policy, env, learning_rate, n_steps, batch_size, n_epochs, gamma, gae_lambda, **common)

    def objective(self) -> objectives.Objective:
        """-A log pi."""
        return objectives.PolicyGradient()

    def _check_composition(self) -> None:
        super()._check_composition()
        if self.step == "armijo" and self.policy.head.has_log_std:
            raise ValueError(
                f"step='armijo': -A log pi of a density ({self.policy.head.name}) is unbounded below, "
                "and a line search would follow it; use step='adam'"
            )
