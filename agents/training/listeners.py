"""What callbacks want of a rollout: to hear of its steps, and to look at them or change something."""

from __future__ import annotations

from stable_baselines3.common import callbacks
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback

#: SB3's callbacks that look at no step's locals and change nothing of the model.
QUIET = (callbacks.EvalCallback, callbacks.CheckpointCallback, callbacks.ProgressBarCallback)


def listens(callback: BaseCallback) -> bool:
    """Whether a callback wants to hear of each step; SB3's stand-in for no callback does not."""
    if isinstance(callback, CallbackList):
        return any(listens(child) for child in callback.callbacks)
    return not (isinstance(callback, ConvertCallback) and callback.callback is None)


def is_quiet(callback: BaseCallback) -> bool:
    """Whether a callback, and those inside it, look at no locals and change nothing of the model.

    A class says so by `quiet = True`. The fused engine then makes no locals of a step for it, and infos at episodes'
    ends alone; nor is the engine looked at anew.
    """
    if isinstance(callback, CallbackList):
        return all(map(is_quiet, callback.callbacks))
    if not listens(callback):
        return True
    inside = (getattr(callback, name, None) for name in ("callback", "callback_on_new_best"))
    own = getattr(callback, "quiet", type(callback) in QUIET)
    return own and all(is_quiet(child) for child in inside if isinstance(child, BaseCallback))
