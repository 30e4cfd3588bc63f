"""The garbage collector stays out of the way of imports, which is a fifth of a command's start and most of its exit.

Importing torch and Stable-Baselines3 makes some 300,000 objects that live to the end of the process. By default the
collector goes through them again and again while they are made, and several times more at the exit.
"""

from __future__ import annotations

import gc


def pause() -> None:
    """No collection until `resume`."""
    gc.disable()


def resume() -> None:
    """Collect again from now on, but, at the first call in a process, never what is there already."""
    if gc.get_freeze_count() == 0:
        gc.freeze()
    gc.enable()
