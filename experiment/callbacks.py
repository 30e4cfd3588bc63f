"""Beside learning: stopping on a signal, evaluation, checkpoints, progress; and a log that can't kill a run."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback, ProgressBarCallback
from stable_baselines3.common.logger import HumanOutputFormat, KVWriter, Logger

from agents.training.events import Events

from .config import RunConfig
from .run_folder import RunFolder
from .scores import with_masks
from .signals import CutShort, StopRequest


class StopOnSignal(BaseCallback):
    """Ends training at the next step once a signal has come."""

    quiet = True

    def __init__(self, stop: StopRequest) -> None:
        super().__init__()
        self.stop = stop

    def _on_step(self) -> bool:
        return self.stop.signal is None


class Evaluation(EvalCallback):
    """SB3's EvalCallback; a signal cuts an evaluation short, and a disk error costs that evaluation, not the run."""

    quiet = True

    def __init__(self, stop: StopRequest, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop = stop

    def _init_callback(self) -> None:
        with warnings.catch_warnings():  # training and evaluation may use different backends of envs.make_vec
            warnings.filterwarnings("ignore", "Training and eval env are not of the same type")
            super()._init_callback()
        self.model = with_masks(self.model, self.eval_env)

    def _log_success_callback(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        super()._log_success_callback(locals_, globals_)
        self.stop.cut_short()

    def _on_step(self) -> bool:
        try:
            return super()._on_step()
        except CutShort:
            return False
        except OSError as error:
            warn(f"evaluation at step {self.num_timesteps} was not recorded: {error}")
            return True


class SturdyTensorBoard(Events):
    """TensorBoard events until the disk refuses one; then one warning, and training goes on without."""

    broken = False

    def write(self, *args: Any, **kwargs: Any) -> None:
        if self.broken:
            return
        try:
            super().write(*args, **kwargs)
        except OSError as error:
            self.broken = True
            warn(f"no more TensorBoard events: {error}")

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.broken = True
            warn(f"no more TensorBoard events: {error}")

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            warn(f"TensorBoard events may be incomplete: {error}")


def warn(message: str) -> None:
    """One `warning:` line on stderr."""
    print(f"warning: {message}", file=sys.stderr)


def make_callbacks(
    config: RunConfig,
    run: RunFolder,
    eval_env: Any,
    stop: StopRequest,
    deterministic: bool,
    progress: bool,
    verbose: int,
) -> list[BaseCallback]:
    """In the order in which they see a step. Frequencies are in environment steps, SB3 counts vector steps."""
    callbacks: list[BaseCallback] = [StopOnSignal(stop)]
    if config.eval_freq > 0:
        callbacks.append(
            Evaluation(
                stop,
                eval_env=eval_env,
                n_eval_episodes=config.eval_episodes,
                eval_freq=max(config.eval_freq // config.n_envs, 1),
                log_path=str(run.path),
                best_model_save_path=str(run.path),
                deterministic=deterministic,
                verbose=int(verbose >= 1 and not progress),
                warn=False,
            )
        )
    if config.save_freq > 0:
        frequency = max(config.save_freq // config.n_envs, 1)
        callbacks.append(CheckpointCallback(frequency, str(run.path), name_prefix="rl_model"))
    if progress:
        callbacks.append(ProgressBarCallback())
    return callbacks


def make_logger(folder: Path, to_screen: bool) -> Logger:
    """TensorBoard events in `folder`, and SB3's table on the screen."""
    writers: list[KVWriter] = [SturdyTensorBoard(str(folder))]
    if to_screen:
        writers.insert(0, HumanOutputFormat(sys.stdout))
    return Logger(str(folder), writers)
