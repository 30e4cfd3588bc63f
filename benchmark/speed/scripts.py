"""A published script in a process of its own, its text untouched: trains in turns, as every contender does.

The script is run from its file. Steps are counted where it steps its vector environment, and between two rollouts,
just before the first step of the next, the turn ends; it so begins and ends after one choice of actions.
TensorBoard events are written where the script writes them; Weights & Biases and progress bars are switched off.
"""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import former_names
from .peers import imports, script_arguments
from .tasks import CONTENDERS, TASKS, Task
from .worker import Turns

QUIET = {"WANDB_MODE": "disabled", "TQDM_DISABLE": "1"}
WARM_UP = 3  # rollouts: a compiled script compiles anew for the second


class Rollouts:
    """Counts the steps of a vector environment, and ends the turn between rollouts."""

    def __init__(self, task: Task, turns: Callable[[int], None]) -> None:
        self.turns, self.n_envs = turns, task.n_envs
        self.rollout = task.n_envs * task.settings["n_steps"]
        self.steps = 0

    def counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step with a count."""

        def counted_step(*args: Any, **kwargs: Any) -> Any:
            if self.steps % self.rollout == 0:
                self.turns(self.steps)
            self.steps += self.n_envs
            return step(*args, **kwargs)

        return counted_step


def run(script: Path, arguments: list[str], rollouts: Rollouts) -> None:
    """Run the script as its main program; only the end of the parent's orders ends it."""
    import gymnasium

    vector: Any = gymnasium.vector.SyncVectorEnv
    vector.step = rollouts.counted(vector.step)
    former_names.restore(imports(script), rollouts.rollout // rollouts.n_envs, rollouts.counted)
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")


def main(arguments: list[str]) -> None:
    """TASK CONTENDER CHECKOUT: what the parent starts."""
    task, contender = TASKS[arguments[0]], CONTENDERS[arguments[1]]
    checkout = Path(arguments[2]).resolve()
    os.environ |= QUIET
    sys.path.insert(0, str(checkout))
    rollout = task.n_envs * task.settings["n_steps"]
    turns = Turns(replace(task, warm_up=max(task.warm_up, WARM_UP * rollout)))
    status: Any = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)  # where the script writes its runs/
        try:
            run(checkout / contender.scripts[task.env], script_arguments(contender, task), Rollouts(task, turns))
        except SystemExit as end:
            status = end.code
    sys.stdout.flush()
    os._exit(status or 0)  # at once: at an orderly end, writers of events look for the folder


if __name__ == "__main__":
    main(sys.argv[1:])
