"""Contenders that others wrote: what each needs to be installed, and the command line that a script takes.

A script's settings are the task's, by the names that CleanRL and LeanRL share; where a task says nothing, the defaults
are Stable-Baselines3's, not the script's: no annealing, no clipping of the value function.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .tasks import CONTENDERS, TASKS, Contender, Task

PROJECTS = tuple(dict.fromkeys(contender.project for contender in CONTENDERS.values() if contender.project))
PIP = {"sb3_contrib": "sb3-contrib", "sbx": "sbx-rl", "cv2": "opencv-python-headless"}  # import name -> distribution
NAMES = {  # Stable-Baselines3's name -> the scripts' and Stable-Baselines3's default
    "learning_rate": ("learning-rate", 3e-4),
    "n_steps": ("num-steps", 2048),
    "n_epochs": ("update-epochs", 10),
    "gamma": ("gamma", 0.99),
    "gae_lambda": ("gae-lambda", 0.95),
    "clip_range": ("clip-coef", 0.2),
    "ent_coef": ("ent-coef", 0.0),
    "vf_coef": ("vf-coef", 0.5),
    "max_grad_norm": ("max-grad-norm", 0.5),
}
ENVPOOL_IDS = {"PongNoFrameskip-v4": "Pong-v5", "BreakoutNoFrameskip-v4": "Breakout-v5"}


def script_arguments(contender: Contender, task: Task) -> list[str]:
    """The command line of a script."""
    env = ENVPOOL_IDS[task.env] if "envpool" in contender.scripts[task.env] else task.env
    values: dict[str, Any] = {"env-id": env, "num-envs": task.n_envs, "seed": 0, "total-timesteps": 10**9}
    values |= {theirs: task.settings.get(ours, default) for ours, (theirs, default) in NAMES.items()}
    values["num-minibatches"] = task.n_envs * values["num-steps"] // task.settings.get("batch_size", 64)
    values |= {"anneal-lr": False, "clip-vloss": False, "cuda": task.device == "cuda"}
    values |= dict(contender.arguments)
    arguments: list[str] = []
    for name, value in values.items():
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        else:
            arguments += [f"--{name}", str(value)]
    return arguments


def what_is_missing(name: str, tasks: Iterable[str], checkouts: Mapping[str, Path]) -> str:
    """What keeps a contender from taking part in the tasks, as a hint of what to do; nothing if nothing does."""
    contender = CONTENDERS[name]
    if contender.library == "steps":
        return ""
    if not contender.project:
        return _to_install({contender.library})
    if contender.project not in checkouts:
        return f"--{contender.project} PATH of a checkout"
    own = [TASKS[task] for task in tasks if contender.takes_part(TASKS[task])]
    files = [checkouts[contender.project] / contender.scripts[task.env] for task in own]
    return _to_install({module for file in files for module in imports(file)} - set(_inside(checkouts)))


def check_scripts(checkouts: Mapping[str, Path]) -> None:
    """Refuse a path that is no checkout of its project.

    Raises:
        ValueError: naming the first script that is not there.
    """
    for contender in CONTENDERS.values():
        if contender.project in checkouts:
            for script in contender.scripts.values():
                if not (checkouts[contender.project] / script).is_file():
                    raise ValueError(f"--{contender.project} {checkouts[contender.project]}: has no {script}")


def imports(script: Path) -> list[str]:
    """The packages that a script imports as it starts, in the order of the text."""
    found: list[str] = []
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return list(dict.fromkeys(name.partition(".")[0] for name in found))


def _inside(checkouts: Mapping[str, Path]) -> list[str]:
    """Packages that lie in the checkouts, and Gym, whose part Gymnasium takes."""
    return ["gym", *(folder.name for checkout in checkouts.values() for folder in checkout.iterdir())]


def _to_install(modules: set[str]) -> str:
    absent = sorted(PIP.get(module, module) for module in modules if find_spec(module) is None)
    return f"pip install {' '.join(absent)}" if absent else ""
