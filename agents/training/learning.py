"""`learn`: SB3's loop around rollout and update, with the engine chosen and the threads limited once for all of it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback
from typing_extensions import Self

from .arguments import check_arguments, check_batch
from .checkpoint import Saveable
from .dashboard import describe_run
from .devices import convolves
from .engine import FusedEngine, make_engine, pays
from .engine.convolutions import choose_convolutions
from .engine.threads import single_thread
from .events import flush_events, use_cheap_events
from .masking import mask_size
from .rollouts import RolloutBuffer
from .stepper import Stepper

if TYPE_CHECKING:
    from ..policies import ActorCriticPolicy
    from .engine.recorded import RecordedEngine


class Learning(Saveable, OnPolicyAlgorithm):
    """SB3's on-policy algorithm from the moment that `learn` is called."""

    policy: ActorCriticPolicy
    rollout_buffer: RolloutBuffer  # type: ignore[assignment]
    normalize_advantage: bool
    batch_size: int
    engine_description = ""  #: which engine the last `learn` took, and why
    _fused: FusedEngine | None = None
    _recorded: RecordedEngine | None = None

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Train for at least `total_timesteps` environment steps (whole rollouts); arguments as in SB3."""
        check_arguments({"n_timesteps": total_timesteps})
        name = tb_log_name or type(self).__name__
        small = self.device.type == "cpu" and not convolves(self.policy)
        try:
            with single_thread() if small else nullcontext():
                return super().learn(total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar)
        finally:
            if hasattr(self, "_logger"):  # not if the run was refused before it had one
                flush_events(self.logger)

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        # Again, since a loaded model may have been given an environment of another size.
        check_batch(self.n_steps, self.n_envs, self.batch_size, self.normalize_advantage, warn=False)
        total_timesteps, callback = super()._setup_learn(*args, **kwargs)
        self.rollout_buffer.make_masks(mask_size(self.env, self.action_space))  # the environment may be another
        self.choose_engine(total_timesteps)
        use_cheap_events(self.logger)
        describe_run(self)  # type: ignore[arg-type]
        if self.verbose >= 1 and self.env is not None and not Stepper(self.env).by_arrays:
            print(
                "Collecting through SB3's step interface; envs.make_vec gives environments that step by arrays, faster"
            )
        return total_timesteps, callback

    def __getstate__(self) -> dict[str, Any]:
        """Engines stay behind: their views of the parameters would be of the original's."""
        return self.__dict__ | {"_fused": None, "_recorded": None}

    def choose_engine(self, total_timesteps: int) -> None:
        """The engine for a run of so many steps, said once.

        Steps before a continued `learn` count too, so that its arithmetic is that of the unbroken run.

        Raises:
            ValueError: for engine="fused" where that can't be.
        """
        chosen = make_engine(self, total_timesteps)  # type: ignore[arg-type]
        self._fused = chosen if isinstance(chosen, FusedEngine) else None
        self._recorded = None if isinstance(chosen, str | FusedEngine) else chosen
        in_torch = isinstance(chosen, str) and pays(total_timesteps)
        convolutions = choose_convolutions(self, in_torch)  # type: ignore[arg-type]
        description = f"torch ({chosen})" if isinstance(chosen, str) else chosen.description
        description += f", {convolutions}" if convolutions else ""
        if self.verbose >= 1 and description != self.engine_description:
            print(f"Engine: {description}")
        self.engine_description = description

    def renew_engine(self) -> None:
        """Choose again, since a callback may have changed something that the engine was not made for."""
        if self._fused is not None or self._recorded is not None:
            self.choose_engine(self._total_timesteps)

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        self._current_progress_remaining = max(1.0 - num_timesteps / total_timesteps, 0.0)
