"""Bad input ends with the right exit code and one `error:` line, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from experiment.errors import MAX_LINE

USAGE, NO_INPUT, UNAVAILABLE, CANNOT_CREATE = 2, 66, 69, 73
Run = Callable[..., Any]


def params(*pairs: str) -> list[str]:
    """As hyperparameters."""
    return ["-params", *pairs]


CASES = {
    "C01 unknown environment": (["--env", "CartPol-v1"], "'CartPole-v1'"),
    "C02 deprecated environment": (["--env", "CartPole-v0"], "CartPole-v1"),
    "C03 path as environment": (["--env", "../../x"], "not an environment id"),
    "C04 unknown algorithm": (["--algo", "ppoo"], "did you mean 'ppo'"),
    "C05 misspelt hyperparameter": (params("learning_rat=0.01"), "did you mean 'learning_rate'"),
    "C06 word for a number": (params("learning_rate:fast"), "must be a number"),
    "C07 no value": (params("learning_rate="), "key:value"),
    "C08 key alone": (params("learning_rate"), "key:value"),
    "C09 negative rate": (params("learning_rate:-0.01"), "learning_rate=-0.01"),
    "C09 nan": (params("learning_rate:nan"), "must be a number"),
    "C09 inf": (params("learning_rate:1e999"), "finite"),
    "C09 nan in a schedule": (params("learning_rate:lin_nan"), "learning_rate='lin_nan'"),
    "C10 gamma above 1": (params("gamma:1.5"), "[0, 1]"),
    "C10 gamma below 0": (params("gamma:-1"), "[0, 1]"),
    "C10 gamma nan": (params("gamma:nan"), "gamma='nan'"),
    "C11 gae_lambda": (params("gae_lambda:7"), "[0, 1]"),
    "C12 clip_range": (params("clip_range:-1"), "clip_range=-1"),
    "C13 n_steps below 0": (params("n_steps:-5"), "n_steps=-5"),
    "C13 n_steps 0": (params("n_steps:0"), "n_steps=0"),
    "C14 n_steps not whole": (params("n_steps:32.5"), "an integer"),
    "C15 one step per rollout": (params("n_steps:1", "n_envs:1", "batch_size:1"), "standard deviation"),
    "C16 batch_size 0": (params("batch_size:0"), "batch_size=0"),
    "C16 batch_size below 0": (params("batch_size:-8"), "batch_size=-8"),
    "C17 batch larger than the rollout": (params("batch_size:512"), "larger than the rollout"),
    "C18 n_epochs": (params("n_epochs:0"), "n_epochs=0"),
    "C19 n_envs 0": (params("n_envs:0"), "n_envs=0"),
    "C19 n_envs below 0": (params("n_envs:-2"), "n_envs=-2"),
    "C19 n_envs not whole": (params("n_envs:1.5"), "n_envs=1.5"),
    "C20 no steps": (["-n", "0"], ">= 1"),
    "C20 steps below 0": (["-n", "-7"], ">= 1"),
    "C20 steps not whole": (["-n", "1.5"], "whole number"),
    "C22 endless": (["-n", "1000000000000"], "--yes-long"),
    "C22 an expression": (["-n", "10**12"], "whole number"),
    "C23 seed below 0": (["--seed", "-5"], "--seed -5"),
    "C24 seed too large": (["--seed", str(2**40)], "--seed"),
    "C24 word for a seed": (["--seed", "abc"], "--seed"),
    "C25 unknown device": (["--device", "gpu"], "auto, cpu, cuda"),
    "C27 unknown flag": (["--evalfreq", "10"], "did you mean '--eval-freq'"),
    "C31 code as a value": (params("learning_rate:__import__('os').getcwd()"), "no literal"),
    "C31 code as policy_kwargs": (params("policy_kwargs:dict(net_arch=eval('[64]'))"), "no literal"),
    "C33 unknown environment argument": (["--env-kwargs", "sutton_reward:True"], "'sutton_barto_reward'"),
    "C33 impossible environment argument": (
        ["--env", "Ant-v5", "--env-kwargs", "xml_file:absent.xml"],
        "absent.xml",
    ),
    "C34 continuous head on discrete actions": (["--head", "gaussian"], "Box"),
    "C34 discrete head on continuous actions": (["--env", "Pendulum-v1", "--head", "tsallis:0.5"], "Discrete"),
    "C35 CNN on vectors": (params("policy:CnnPolicy"), "image"),
    "C35 Dict policy on vectors": (params("policy:MultiInputPolicy"), "MlpPolicy"),
    "C36 unknown policy": (params("policy:MlpPolic"), "did you mean 'MlpPolicy'"),
    "C36 unknown activation": (params("policy_kwargs:dict(activation_fn=nn.Relo)"), "did you mean 'ReLU'"),
    "C36 unknown policy argument": (params("policy_kwargs:dict(net_arc=[64])"), "did you mean 'net_arch'"),
    "C36 unknown head": (["--head", "sofmax"], "did you mean 'softmax'"),
    "C36 unknown divergence": (["--reg", "tsalis:0.5,coef=0.1"], "did you mean 'tsallis"),
    "C36 unknown part of --reg": (["--reg", "kl,koef=0.1"], "'koef=0.1'"),
    "C36 unknown regulariser place": (["--reg", "kl,coef=0.1,where=logits"], "reward, loss, both"),
    "C37 alpha 0": (["--head", "tsallis:0"], "alpha"),
    "C37 alpha below 0": (["--head", "tsallis:-0.5"], "alpha"),
    "C37 alpha no number": (["--head", "tsallis:half"], "tsallis:half"),
    "C37 temperature 0": ([*params("policy_kwargs:dict(temperature=0)"), "--head", "softmax"], "temperature"),
    "C37 layers of no size": (params("policy_kwargs:dict(net_arch=[-4])"), "MlpPolicy on CartPole-v1"),
    "C40 folder name too long": (["-f", "x" * 300], "255 bytes"),
    "C40 folder name with NUL": (["-f", "a\0b"], "can't be printed"),
    "C40 folder name right to left": (["-f", "a\u202eb"], "can't be printed"),
    "C40 environment name with NUL": (["--env", "CartPole-v1\0"], "not an environment id"),
    "C40 environment name right to left": (["--env", "CartPole\u202e-v1"], "not an environment id"),
    "C40 environment name too long": (["--env", "x" * 3000 + "-v1"], "longer than"),
    "eval-freq": (["--eval-freq", "0"], "--eval-freq 0"),
    "eval-episodes": (["--eval-episodes", "0"], ">= 1"),
    "n-eval-envs": (["--n-eval-envs", "-1"], ">= 1"),
    "save-freq": (["--save-freq", "-3"], "--save-freq -3"),
    "num-threads": (["--num-threads", "0"], "--num-threads 0"),
    "vec-env": (["--vec-env", "dumy"], "dummy"),
    "vec-env that can't": (["--vec-env", "native", "--env", "Acrobot-v1"], "native"),
    "reward noise": (["--reward-noise", "-1"], "reward_noise=-1.0"),
    "reward noise nan": (["--reward-noise", "nan"], "reward_noise=nan"),
    "reward noise of an unknown kind": (["--reward-noise", "gausian:1"], "did you mean 'gaussian'"),
    "reward noise without a number": (["--reward-noise", "uniform"], "KIND:STD"),
    "observation noise": (["--observation-noise", "-0.1"], "observation_noise=-0.1"),
    "observation noise on no floats": (["--env", "FrozenLake-v1", "--observation-noise", "0.1"], "Box of floats"),
    "sticky actions": (["--sticky-actions", "1"], "sticky_actions=1.0"),
    "random action": (["--random-action", "1.5"], "random_action=1.5"),
    "reward delay": (["--reward-delay", "-1"], "reward_delay=-1"),
    "reward delay not whole": (["--reward-delay", "1.5"], "--reward-delay"),
    "reward delay in the YAML's words": (params("reward_delay:many"), "reward_delay='many'"),
    "frame stack": (params("frame_stack:0"), "frame_stack"),
    "normalize": (params("normalize:7"), "normalize"),
    "normalize option": (params("normalize:dict(norm_ob=True)"), "norm_obs"),
    "wrapper": (params("env_wrapper:gymnasium.wrappers.ClipReward"), "env_wrapper"),
    "objective argument of another algorithm": (["--objective-args", "eta:0.1"], "clip_range"),
    "objective argument that all share": (["--objective-args", "gamma:0.9"], "clip_range"),
    "render mode": (["--env-kwargs", "render_mode:rgb_array"], "--video"),
    "settings of a step": (params("step:armijo", "step_kwargs:3"), "must be a mapping"),
    "a setting of a step": (params("step:armijo", "step_kwargs:dict(shrink=2)"), "shrink=2: must be"),
    "a number for the widths of layers": (params("policy_kwargs:dict(net_arch=64)"), "net_arch=64: must be the widths"),
    "a regulariser without coefficient": (["--reg", "kl"], "--reg kl,coef="),
    "seeds": (["--seeds", "4-0"], "must go up"),
    "seeds twice": (["--seeds", "1,1"], "twice"),
    "seeds and seed": (["--seeds", "0-1", "--seed", "3"], "exclude"),
    "jobs": (["--seeds", "0-1", "--jobs", "0"], ">= 1"),
    "seeds of a bad configuration": (["--seeds", "0-1", *params("gamma:2")], "[0, 1]"),
}


def check_failure(outcome: Any, code: int, part: str) -> None:
    """One clear line, whatever went wrong."""
    assert (outcome.code, outcome.err.count("\n")) == (code, 1), outcome.err
    assert outcome.err.startswith("error: ")
    assert len(outcome.err.rstrip("\n")) <= MAX_LINE
    assert part in outcome.err


def test_an_engine_that_can_not_be_leaves_no_run(train: Run, logs: Path) -> None:
    outcome = train("-n", "64", "--engine", "fused", *params("step:armijo"))
    check_failure(outcome, USAGE, "engine='fused': step='armijo'")
    assert not list(logs.glob("*/*"))


@pytest.mark.parametrize("name", CASES)
def test_bad_arguments(name: str, train: Run, logs: Path) -> None:
    arguments, part = CASES[name]
    check_failure(train("-n", "64", *arguments), USAGE, part)
    assert not logs.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "1e5"],
        ["-n", "1000000000000", "--yes-long"],
        ["--env", "CartPole-v0", "--allow-deprecated"],
        params("n_steps:1e3"),
        params("learning_rate:lin_1e-3", "policy_kwargs:dict(activation_fn=nn.ReLU, net_arch=dict(pi=[8], vf=[8]))"),
        ["--reg", "tsallis:0.5,coef=0.01,ref=uniform,where=both"],
        ["--algo", "spma", "--objective-args", "eta:0.3"],
        ["--head", "tsallis:0.5", "--seed", "-1"],
        ["--eval-freq", "-1", "--seeds", "0-3,7"],
    ],
)
def test_good_arguments_and_a_dry_run_creates_nothing(arguments: list[str], train: Run, tmp_path: Path) -> None:
    outcome = train("--dry-run", *arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("algo: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="the case is a machine without CUDA")
def test_c26_cuda_without_cuda(train: Run, logs: Path) -> None:
    check_failure(train("--device", "cuda"), UNAVAILABLE, "0 CUDA devices")
    assert not logs.exists()


def test_c28_missing_config_file(train: Run, tmp_path: Path) -> None:
    check_failure(train("--conf-file", str(tmp_path / "absent.yml")), NO_INPUT, "absent.yml")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("CartPole-v1:\n  gamma: [0.9\n", "line 3, column 1"),
        ("CartPole-v1: {n_timesteps: 10}\nCartPole-v1: {n_timesteps: 20}", "line 2, column 1: duplicate"),
        ("CartPole-v1: !!python/object/apply:os.getcwd []", "line 1, column 14"),
        ("CartPole-v1: {n_timesteps: 10, learning_rate: .nan}", "finite"),
        ("CartPole-v1: {n_timesteps: 2020-01-01}", "finite number"),
        ("CartPole-v1: {gamma: 0.9}", "n_timesteps"),
        ("CartPole-v1: 7", "must be a mapping"),
        ("Pendulum-v1: {n_timesteps: 10}", "no entry for CartPole-v1"),
        ("default: {n_timesteps: 10, env_kwargs: 3}", "must be a mapping"),
        ("default: {n_timesteps: 10, policy_kwargs: \"dict(net_arch=open('x'))\"}", "no literal"),
        ("default: {n_timesteps: 10, seed: 3}", "seed: unknown"),
    ],
)
def test_c29_to_c32_config_files(text: str, part: str, train: Run, logs: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text(text)
    check_failure(train("--conf-file", str(file)), USAGE, part)
    assert not logs.exists()


def test_c38_log_folder_that_cannot_be(train: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", "/proc/x"):
        check_failure(train("-n", "64", folder=folder), CANNOT_CREATE, "--log-folder")
    check_failure(train("-n", "64", "-tb", str(tmp_path / "file")), CANNOT_CREATE, "--tensorboard-log")
    assert not list((tmp_path / "logs" / "ppo").iterdir())


def test_c41_missing_package(train: Run, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "mujoco" else find_spec(name, *a))
    check_failure(train("--env", "HalfCheetah-v5"), UNAVAILABLE, "pip install")
    assert not logs.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--n-episodes", "0"], USAGE, ">= 1"),
        (["--n-episodes", "-1"], USAGE, ">= 1"),
        (["--env", "CartPol-v1"], USAGE, "'CartPole-v1'"),
        (["--algo", "ppoo"], USAGE, "'ppo'"),
        (["--exp-id", "-2"], USAGE, "--exp-id"),
        (["--seed", "-5"], USAGE, "--seed"),
        (["--device", "gpu"], USAGE, "--device"),
        (["--deterministic", "--stochastic"], USAGE, "not allowed with"),
        ([], NO_INPUT, "train one first"),
        (["--exp-id", "3"], NO_INPUT, "CartPole-v1_3"),
        (["--exp-id", "-1"], NO_INPUT, "no such checkpoint"),
    ],
)
def test_c42_and_other_bad_evaluations(arguments: list[str], code: int, part: str, evaluate: Run) -> None:
    check_failure(evaluate(*arguments), code, part)


@pytest.mark.parametrize(
    ("script", "arguments", "code"),
    [
        ("train.py", ["--algo", "ppoo"], USAGE),
        ("train.py", ["-f", "/proc/x", "-n", "64"], CANNOT_CREATE),
        ("evaluate.py", ["-f", "absent"], NO_INPUT),
        ("train.py", ["--help"], 0),
    ],
)
def test_the_commands_themselves(script: str, arguments: list[str], code: int, tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, checkout / script, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    if code:
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not os.listdir(tmp_path)


def test_parsing_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'stable_baselines3', 'gymnasium', 'numpy', 'matplotlib'}"
    code = f"import sys; from experiment import cli; cli.train_parser(); print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_debug_shows_the_traceback_above_the_line(train: Run) -> None:
    outcome = train("--algo", "ppoo", "--debug")
    assert outcome.code == USAGE
    assert outcome.err.startswith("Traceback") and outcome.err.splitlines()[-1].startswith("error: ")
