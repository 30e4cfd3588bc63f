"""What is trained, and with what settings: the same for every contender of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """An environment and PPO's settings; `chunk` steps are a turn, after `warm_up` steps that do not count."""

    env: str
    n_envs: int
    settings: dict[str, Any]
    chunk: int
    warm_up: int
    normalize: bool = False
    policy: str = "MlpPolicy"
    at_least: float = 0.0  # the ratio to SB3 that is asked for, and the one aimed at
    aim: float = 0.0
    device: str = "cpu"

    @property
    def kinds(self) -> set[str]:
        """What a contender may be for only."""
        images, continuous = self.policy == "CnnPolicy", self.env.startswith("HalfCheetah")
        return {"images" if images else "vectors", "continuous" if continuous else "discrete", self.device}


MUJOCO = {"batch_size": 64, "n_epochs": 10, "learning_rate": 3e-4, "gamma": 0.99, "gae_lambda": 0.95}
PONG = {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "learning_rate": 2.5e-4, "clip_range": 0.1, "ent_coef": 0.01}
SHORT = {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8, "learning_rate": 1e-3}

TASKS: dict[str, Task] = {
    "cartpole-32": Task("CartPole-v1", 8, SHORT, 8192, 2048, at_least=5.5, aim=11),
    "cartpole-128": Task(
        "CartPole-v1", 8, {"n_steps": 128, "batch_size": 256, "n_epochs": 4}, 16384, 4096, at_least=6, aim=8
    ),
    "cheetah-1": Task("HalfCheetah-v5", 1, {"n_steps": 2048, **MUJOCO}, 6144, 2048, True, at_least=8.5, aim=11),
    "cheetah-8": Task("HalfCheetah-v5", 8, {"n_steps": 256, **MUJOCO}, 8192, 2048, True, at_least=5.5, aim=7),
    "pong": Task("PongNoFrameskip-v4", 8, PONG, 2048, 1024, policy="CnnPolicy", at_least=1.5, aim=1.7),
    "pong-gpu": Task("PongNoFrameskip-v4", 8, PONG, 2048, 2048, policy="CnnPolicy", device="cuda"),
    "breakout-gpu": Task("BreakoutNoFrameskip-v4", 8, PONG, 2048, 2048, policy="CnnPolicy", device="cuda"),
}


@dataclass(frozen=True)
class Contender:
    """Who trains, with what arguments of its own, on which tasks, and whose CPU time its own is divided into."""

    library: str  # an import name, "scripts", or "steps": the bare environment, random actions
    algorithm: str = "ppo"
    arguments: tuple[tuple[str, Any], ...] = ()
    goal: tuple[float, float] | None = None  # ratios to SB3 asked for and aimed at, where not the task's
    lowered: bool = True  # False: the fused engine differentiates losses by torch's autograd
    only: str = ""  # tasks with "images" or "vectors", "discrete" or "continuous" actions, on "cpu" or "cuda"
    baseline: str = "sb3 ppo"
    project: str = ""  # whose scripts these are
    scripts: Mapping[str, str] = field(default_factory=dict)  # environment -> file in a checkout of the project

    @property
    def ours(self) -> bool:
        """Whether it is Mirrorzoo's."""
        return self.library == "agents"

    def takes_part(self, task: Task) -> bool:
        """Whether the contender can run the task."""
        return (not self.only or self.only in task.kinds) and (not self.project or task.env in self.scripts)


def _ours(
    algorithm: str = "ppo",
    only: str = "",
    goal: tuple[float, float] | None = None,
    lowered: bool = True,
    **arguments: Any,
) -> Contender:
    return Contender("agents", algorithm, tuple(arguments.items()), goal, lowered, only)


def _script(project: str, scripts: dict[str, str], only: str = "", **arguments: Any) -> Contender:
    """Files by the first word of the environment's name; Pong's are for all games."""
    scripts |= {"Breakout": scripts["Pong"]} if "Pong" in scripts else {}
    files = {task.env: file for task in TASKS.values() for word, file in scripts.items() if task.env.startswith(word)}
    return Contender("scripts", arguments=tuple(arguments.items()), only=only, project=project, scripts=files)


CONTENDERS: dict[str, Contender] = {
    "sb3 ppo": Contender("stable_baselines3"),
    "ppo": _ours(),
    "ppo, torch engine": _ours(engine="torch", only="cpu"),
    "ppo, losses by autograd": _ours(engine="fused", only="vectors", lowered=False),
    "ppo, not recorded": _ours(engine="torch", only="cuda"),
    "ppo, bf16": _ours(policy_kwargs={"precision": "bf16"}, only="images", goal=(2.5, 3.3)),
    "spma": _ours("spma", max_grad_norm=0.5),
    "lco-kld": _ours("lco"),
    "mdpo": _ours("mdpo", n_critic_updates=0, clip_range_vf=None),
    "ppo, tsallis:0.5": _ours(policy_kwargs={"head": "tsallis:0.5"}, only="discrete"),
    "ppo, q_gaussian:0.5": _ours(policy_kwargs={"head": "q_gaussian:0.5"}, only="continuous"),
    "trpo": Contender("agents", "trpo", only="vectors", baseline="sb3-contrib trpo"),
    "sb3-contrib trpo": Contender("sb3_contrib", "trpo", only="vectors", baseline="sb3-contrib trpo"),
    "sbx ppo": Contender("sbx"),
    "cleanrl ppo": _script(
        "cleanrl",
        {
            "CartPole": "cleanrl/ppo.py",
            "HalfCheetah": "cleanrl/ppo_continuous_action.py",
            "Pong": "cleanrl/ppo_atari.py",
        },
    ),
    "cleanrl ppo, envpool": _script("cleanrl", {"Pong": "cleanrl/ppo_atari_envpool.py"}),
    "leanrl ppo": _script(
        "leanrl", {"HalfCheetah": "leanrl/ppo_continuous_action.py", "Pong": "leanrl/ppo_atari_envpool.py"}
    ),
    "leanrl ppo, compiled": _script(
        "leanrl",
        {
            "HalfCheetah": "leanrl/ppo_continuous_action_torchcompile.py",
            "Pong": "leanrl/ppo_atari_envpool_torchcompile.py",
        },
        compile=True,
    ),
    "leanrl ppo, CUDA graphs": _script(
        "leanrl", {"Pong": "leanrl/ppo_atari_envpool_torchcompile.py"}, only="cuda", compile=True, cudagraphs=True
    ),
    "bare steps": Contender("steps"),
}
BASELINES = {contender.baseline for contender in CONTENDERS.values()}
