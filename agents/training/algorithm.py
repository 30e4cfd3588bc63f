"""What every algorithm shares before the loop runs: SB3's constructor, schedules, and the parts built from it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import FloatSchedule
from torch import Tensor
from torch.distributions import kl_divergence

from ..geometry.divergences import divergence_from_name
from ..objectives import Objective, Regularizer
from ..policies import ActorCriticPolicy, CnnPolicy, MlpPolicy, MultiInputPolicy
from ..suggest import check_choice
from .arguments import check_arguments, check_batch
from .devices import convolves
from .engine import ENGINES
from .env_plugins import load_env_plugins
from .learning import Learning
from .losses import MinibatchLoss
from .masking import mask_size
from .references import ReferencePolicy, check_reference
from .rollouts import RolloutBuffer
from .schedules import Scalar, Schedule, to_schedule
from .steps import check_step
from .updates import make_update


class Algorithm(Learning):
    """An SB3 on-policy algorithm built from a policy (trunk and head), an objective and an optimiser step.

    A subclass states its defaults and its `objective()`; the loop is in `OnPolicy`. Arguments are SB3's, to the letter,
    and in addition:

    Args:
        policy_kwargs: SB3's, and `head`, `temperature`, `reference` (see `ActorCriticPolicy`).
        max_grad_norm: norm to which gradients are clipped; None: no clipping.
        regularizer: an f-divergence by name, as "tsallis:0.5" or "kl" (None: no regulariser).
        reg_coef: its coefficient, in reward units where it enters the reward; a schedule too.
        reg_reference: "uniform", "initial", "snapshot:<k updates>", or a checkpoint file.
        reg_where: "reward" (r - reg_coef D_f, alpha-Tsallis PPO), "loss", or "both" (see `Regularizer`).

        step: "adam" (with norm clipping), "armijo" (backtracking, actor and critic apart) or "trust_region" (natural
            gradient within KL <= target_kl for the actor, Adam for the critic).
        step_kwargs: settings of that step (`ArmijoStep`, `TrustRegionStep`).
        n_critic_updates: 0: the critic shares the actor's minibatches; else the actor takes n_epochs steps on the whole
            rollout, then the critic this many passes in minibatches of batch_size.
        engine: "torch", "fused" (plain MLPs on the CPU without autograd through the networks: several times faster, the
            same update to float rounding), or "auto": fused where it can be and the run is long enough to pay for it.
        device: "auto" is a GPU, if there is one, for policies with convolutions, and the CPU for all others: SB3 would
            take the GPU for a small MLP too, where it is several times slower.
        advantage: "sampled" (GAE of the sampled actions) or "dense" (A = Q - sum pi Q from a Q-critic; Discrete only).

    Schedules: `learning_rate` and `clip_range` as in SB3 (progress remaining, a scheduled 0 is legal); other scalars
    fall as 1 - (k - 1) / K over the K updates and never reach 0. "lin_3e-4" is a linear one.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }
    #: The scalars of the algorithm that may be schedules, and what each falls with.
    progress_scheduled: ClassVar[tuple[str, ...]] = ("clip_range", "clip_range_high", "clip_range_vf")
    update_scheduled: ClassVar[tuple[str, ...]] = ("eta", "beta", "beta_negative", "ent_coef", "reg_coef")
    #: Whether actor and critic take separate steps even with Adam, and over what advantages are normalised.
    separate: ClassVar[bool] = False
    normalize_per: str = "minibatch"

    policy: ActorCriticPolicy

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str | None,
        learning_rate: float | str | Schedule = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        *,
        clip_range_vf: float | str | Schedule | None = None,
        normalize_advantage: bool = True,
        ent_coef: float | str | Schedule = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float | None = 0.5,
        target_kl: float | None = None,
        regularizer: str | None = None,
        reg_coef: float | str | Schedule = 0.0,
        reg_reference: str = "uniform",
        reg_where: str = "reward",
        step: str = "adam",
        step_kwargs: dict[str, Any] | None = None,
        n_critic_updates: int = 0,
        advantage: str = "sampled",
        engine: str = "auto",
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        use_sde: bool = False,
        _init_setup_model: bool = True,
    ) -> None:
        if use_sde:
            raise ValueError("use_sde=True: state-dependent exploration has no f-softargmax form; use a head instead")
        check_arguments(locals() | vars(self))
        if isinstance(env, str):
            load_env_plugins(env)
        self.batch_size, self.n_epochs = int(batch_size), int(n_epochs)
        self.stats_window_size = stats_window_size
        self.clip_range_vf, self.normalize_advantage, self.target_kl = clip_range_vf, normalize_advantage, target_kl
        self.regularizer, self.reg_coef = regularizer, reg_coef
        self.reg_reference, self.reg_where = reg_reference, reg_where
        self.step, self.step_kwargs, self.n_critic_updates = step, step_kwargs, int(n_critic_updates)
        self.advantage, self.engine, self._any_device = advantage, engine, device == "auto"
        check_step(step, step_kwargs)
        check_choice("advantage", advantage, ("sampled", "dense"))
        check_choice("engine", engine, ENGINES)
        check_reference(reg_reference)
        super().__init__(
            policy,
            env,  # type: ignore[arg-type]
            learning_rate=learning_rate,  # type: ignore[arg-type]
            n_steps=int(n_steps),
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=ent_coef,  # type: ignore[arg-type]
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,  # type: ignore[arg-type]
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
            supported_action_spaces=(spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary),
        )
        if _init_setup_model:
            if self.env is not None:
                check_batch(self.n_steps, self.n_envs, self.batch_size, self.normalize_advantage)
            self._setup_model()

    @classmethod
    def argument_names(cls) -> list[str]:
        """Every constructor argument of the class, its own and the common ones."""
        return [name for name in inspect.signature(cls).parameters if name != "_init_setup_model"]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show `help` and `inspect.signature` the full constructor: the subclass's arguments, then the common ones."""
        super().__init_subclass__(**kwargs)
        own = inspect.signature(cls.__init__).parameters
        common = inspect.signature(Algorithm.__init__).parameters
        merged = own | {name: parameter for name, parameter in common.items() if name not in own}
        keep = [p for name, p in merged.items() if name != "self" and p.kind is not inspect.Parameter.VAR_KEYWORD]
        cls.__signature__ = inspect.Signature(sorted(keep, key=lambda p: p.kind))  # type: ignore[attr-defined]

    def objective(self) -> Objective:
        """The policy objective, built once; its schedules are the tensors of `self.scalar(name)`."""
        raise TypeError(f"{type(self).__name__} states no objective()")

    def scalar(self, name: str) -> Tensor:
        """The 0-d tensor of a scheduled argument, which the loop moves before each update."""
        return self._scalars[name].tensor

    def _setup_lr_schedule(self) -> None:
        self.lr_schedule = FloatSchedule(to_schedule(self.learning_rate))

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        if not issubclass(self.policy_class, ActorCriticPolicy):
            raise ValueError(f"policy={self.policy_class.__name__}: must be an ActorCriticPolicy of agents.policies")
        policy = self.policy_class(
            self.observation_space,
            self.action_space,
            self.lr_schedule,
            **self.policy_kwargs | ({"q_critic": True} if self.advantage == "dense" else {}),
        )
        if self._any_device and not convolves(policy):
            self.device = torch.device("cpu")
        self.policy = policy.to(self.device)
        self._maybe_recommend_cpu()
        self.rollout_buffer = RolloutBuffer(
            self.n_steps,
            self.n_envs,
            self.observation_space,
            self.action_space,
            self.policy.head.param_size,
            self.device,
            mask_size(self.env, self.action_space),
        )
        scheduled = (*self.progress_scheduled, *self.update_scheduled)
        given = {name: getattr(self, name, None) for name in scheduled}
        self._scalars = {name: Scalar(value, self.device) for name, value in given.items() if value is not None}
        self._objective = self.objective()
        self._regularizer = self._make_regularizer()
        self._reference = ReferencePolicy("uniform" if self._regularizer is None else self.reg_reference, self.policy)
        self.loss = self._make_loss()
        self._check_composition()
        make_update(self)  # refuses what doesn't go together

    def _make_regularizer(self) -> Regularizer | None:
        if self.regularizer is None:
            return None
        divergence = divergence_from_name(self.regularizer)
        return Regularizer(divergence, self.scalar("reg_coef"), self.reg_where)

    def _make_loss(self) -> MinibatchLoss:
        reference = self._reference.policy
        return MinibatchLoss(
            self.policy.head,
            self._objective,
            self.scalar("ent_coef"),
            self._regularizer,
            None if reference is None else reference.head,
            None if self.clip_range_vf is None else self.scalar("clip_range_vf"),
        )

    def step_settings(self) -> dict[str, Any]:
        """The settings of the optimiser step: step_kwargs, and what a subclass takes as arguments of its own."""
        return self.step_kwargs or {}

    @property
    def takes_separate_steps(self) -> bool:
        """Whether actor and critic take a step each rather than one together."""
        return self.step != "adam" or self.separate or self.n_critic_updates > 0

    def _check_composition(self) -> None:
        """Try objective and regulariser on the head once, so that what does not go together is refused at once."""
        policy = self.policy.head(torch.zeros(2, self.policy.head.param_size, device=self.device))
        loss = self._objective(policy, policy, policy.mode, torch.zeros(2, device=self.device))
        if self.target_kl is not None and self.step != "trust_region" and "approx_kl" not in loss.metrics:
            raise ValueError(f"target_kl={self.target_kl}: the objective has no metric 'approx_kl' to compare with it")
        if self.step == "trust_region":
            kl_divergence(policy, policy)
        if self._regularizer is not None:
            self._regularizer.penalty(policy, policy if self._reference.policy is not None else None)

    @property
    def update_number(self) -> int:
        """k, counted from 1, of the update that follows the rollout just collected."""
        return math.ceil(self.num_timesteps / (self.n_steps * self.n_envs))

    def _update_scalars(self) -> None:
        self._move_scalars(self.progress_scheduled, self._current_progress_remaining)
        self._move_scalars(self.update_scheduled, self._updates_remaining())

    def _updates_remaining(self) -> float:
        """1 - (k - 1) / K at the k-th of K updates."""
        update, updates = self.update_number, math.ceil(self._total_timesteps / (self.n_steps * self.n_envs))
        return 1 - (update - 1) / max(updates, update)

    def _move_scalars(self, names: Iterable[str], fraction: float) -> None:
        """To where schedules are; an argument may have been changed, by a callback say, but not from or to None.

        Raises:
            ValueError: in that case.
        """
        for name in names:
            value = getattr(self, name, None)
            if (value is None) != (name not in self._scalars):
                made = self._scalars[name].value if name in self._scalars else None
                raise ValueError(f"{name}={value!r}: the loss was made for {made!r}; give it to the constructor")
            if value is not None:
                self._scalars[name].update(fraction, value)

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Actions for observations, as in SB3; `action_masks` [N, M] as in sb3-contrib's MaskablePPO."""
        if action_masks is None:
            return super().predict(observation, state, episode_start, deterministic)
        return self.policy.predict_masked(observation, action_masks, deterministic), state
