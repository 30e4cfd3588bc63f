"""One contender in a process of its own: trains in turns, a chunk of steps each, and says what they cost.

Learning goes on from turn to turn: between two rollouts the worker waits for a line on its standard input, which costs
no CPU time. What a user gets is included: a callback at each step, episode statistics, TensorBoard events.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from importlib import import_module
from typing import Any

from .split import Split
from .tasks import CONTENDERS, TASKS, Contender, Task

FOREVER = 10**9


class Turns:
    """Tells the parent what each chunk of steps cost, and waits for the next turn."""

    def __init__(self, task: Task, split: Split | None = None) -> None:
        self.task, self.split = task, split
        self._goal = task.warm_up
        self._start: tuple[float, float, int] | None = None

    def __call__(self, steps: int) -> None:
        """To be called between rollouts with the steps done so far."""
        if steps < self._goal:
            return
        if self._start is not None:
            cpu, wall, before = self._start
            report: dict[str, Any] = {"steps": steps - before, "cpu": cpu_seconds() - cpu}
            report["wall"] = time.perf_counter() - wall
            report["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            if self.split is not None:
                report["split"] = self.split.seconds()
            print(json.dumps(report), flush=True)
        else:
            print("ready", flush=True)
        if not sys.stdin.readline():
            raise SystemExit(0)
        self._goal = steps + self.task.chunk
        if self.split is not None:
            self.split.reset()
        self._start = cpu_seconds(), time.perf_counter(), steps


def cpu_seconds() -> float:
    """User and system time of this process with all its threads, and of children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def sb3_environment(task: Task, seed: int = 0) -> Any:
    """The environment as SB3's users and its zoo make it."""
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize, VecTransposeImage

    if task.policy == "CnnPolicy":
        import ale_py
        import gymnasium

        gymnasium.register_envs(ale_py)
        return VecTransposeImage(VecFrameStack(make_atari_env(task.env, task.n_envs, seed=seed), 4))
    env = make_vec_env(task.env, task.n_envs, seed=seed)
    return VecNormalize(env, gamma=task.settings.get("gamma", 0.99)) if task.normalize else env


def our_environment(task: Task, seed: int = 0) -> Any:
    """The environment as train.py makes it."""
    import envs

    normalize = {"gamma": task.settings.get("gamma", 0.99)} if task.normalize else False
    threads = task.n_envs if task.device == "cuda" else 1
    return envs.make_vec(task.env, task.n_envs, seed=seed, normalize=normalize, num_threads=threads)


def settings(contender: Contender, task: Task) -> dict[str, Any]:
    """The task's settings under the algorithm's names: TRPO's critic makes as many passes as PPO's networks."""
    result = dict(task.settings)
    if contender.algorithm != "ppo":
        result.pop("clip_range", None)
    if contender.algorithm == "trpo":
        result.pop("ent_coef", None)
        if "n_epochs" in result:
            result["n_critic_updates"] = result.pop("n_epochs")
    return result


def train(contender: Contender, task: Task, turns: Turns, log_folder: str) -> None:
    """Learn until the parent has had enough."""
    import torch
    from stable_baselines3.common.callbacks import BaseCallback

    class BetweenRollouts(BaseCallback):
        quiet = True

        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            turns(self.model.num_timesteps)

    torch.set_num_threads(1)
    if not contender.lowered:
        keep_autograd()
    env = our_environment(task) if contender.ours else sb3_environment(task)
    make = getattr(import_module(contender.library), contender.algorithm.upper())
    arguments = settings(contender, task) | dict(contender.arguments)
    model = make(task.policy, env, seed=0, device=task.device, tensorboard_log=log_folder, **arguments)
    if turns.split is not None:
        turns.split.watch(model)
    model.learn(FOREVER, callback=BetweenRollouts())


def keep_autograd() -> None:
    """Let the fused engine take the losses' gradients from torch, to see what lowering them is worth."""
    from agents.training import engine
    from agents.training.engine.gradients import EagerGradient

    def by_autograd(loss: Any, executor: str = "auto") -> Any:
        return EagerGradient(loss, "asked for")

    engine.make_gradient = by_autograd


def only_step(task: Task, turns: Turns) -> None:
    """Random actions in the bare environment, without normalisation: what no training can undercut."""

    env = our_environment(replace(task, normalize=False))
    env.reset()
    actions = [_actions(env, task.n_envs) for _ in range(64)]
    steps = 0
    while True:
        turns(steps)
        for i in range(128):
            env.step_arrays(actions[i % 64])
        steps += 128 * task.n_envs


def _actions(env: Any, n: int) -> Any:
    import numpy as np

    return np.stack([env.action_space.sample() for _ in range(n)])


def main(arguments: list[str]) -> None:
    """TASK CONTENDER [split]: what the parent starts."""
    task, contender = TASKS[arguments[0]], CONTENDERS[arguments[1]]
    turns = Turns(task, Split() if arguments[2:] == ["split"] else None)
    with tempfile.TemporaryDirectory() as folder:
        if contender.library == "steps":
            only_step(task, turns)
        else:
            train(contender, task, turns, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
