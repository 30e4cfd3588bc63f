"""Other libraries' contenders: their settings, what they need, and how a script of others takes turns."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stable_baselines3

from benchmark.speed import peers, training, turns, worker
from benchmark.speed.tasks import CONTENDERS, TASKS, Contender

SCRIPTED = [name for name, contender in CONTENDERS.items() if contender.project]
LOOP = """
import sys
import gymnasium as gym
import {module}

values = dict(zip(sys.argv[1::2], sys.argv[2::2]))
envs = gym.vector.SyncVectorEnv([lambda: gym.make(values["--env-id"])] * int(values["--num-envs"]))
envs.reset(seed=int(values["--seed"]))
print("global_step=0")
while True:
    envs.step(envs.action_space.sample())
"""


def checkout(folder: Path, project: str, module: str = "numpy") -> Path:
    """Scripts that step at random, where the project has its own."""
    for contender in CONTENDERS.values():
        if contender.project == project:
            for script in contender.scripts.values():
                (folder / script).parent.mkdir(parents=True, exist_ok=True)
                (folder / script).write_text(LOOP.format(module=module))
    return folder


@pytest.fixture
def none_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that the packages of this project don't need themselves."""
    find = peers.find_spec
    others = {"sb3_contrib", "sbx", "tyro", "envpool", "tensordict", "wandb"}
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in others else find(name))
    yield


def values_of(arguments: list[str]) -> dict[str, str]:
    """The options of a command line; those without a value stand for themselves."""
    pairs = zip(arguments, [*arguments[1:], "--"], strict=True)
    return {name: "" if value.startswith("--") else value for name, value in pairs if name.startswith("--")}


def test_a_script_gets_the_tasks_settings() -> None:
    found = values_of(peers.script_arguments(CONTENDERS["cleanrl ppo"], TASKS["cartpole-32"]))
    assert found == {
        "--env-id": "CartPole-v1",
        "--num-envs": "8",
        "--seed": "0",
        "--total-timesteps": "1000000000",
        "--learning-rate": "0.001",
        "--num-steps": "32",
        "--update-epochs": "20",
        "--gamma": "0.98",
        "--gae-lambda": "0.8",
        "--clip-coef": "0.2",
        "--ent-coef": "0.0",
        "--vf-coef": "0.5",
        "--max-grad-norm": "0.5",
        "--num-minibatches": "1",
        "--no-anneal-lr": "",
        "--no-clip-vloss": "",
        "--no-cuda": "",
    }


def test_minibatches_ids_and_flags_are_the_scripts() -> None:
    cheetah = values_of(peers.script_arguments(CONTENDERS["leanrl ppo, compiled"], TASKS["cheetah-1"]))
    pong = values_of(peers.script_arguments(CONTENDERS["cleanrl ppo, envpool"], TASKS["pong"]))
    assert (cheetah["--num-minibatches"], cheetah["--env-id"], cheetah["--compile"]) == ("32", "HalfCheetah-v5", "")
    assert (pong["--num-minibatches"], pong["--env-id"], pong["--clip-coef"]) == ("4", "Pong-v5", "0.1")


def test_a_gpu_is_asked_for_where_the_task_has_one() -> None:
    graphs = CONTENDERS["leanrl ppo, CUDA graphs"]
    breakout = values_of(peers.script_arguments(graphs, TASKS["breakout-gpu"]))
    assert {"--cuda", "--compile", "--cudagraphs"} <= breakout.keys() and breakout["--env-id"] == "Breakout-v5"
    taking_part = {name for name, contender in CONTENDERS.items() if contender.takes_part(TASKS["pong-gpu"])}
    assert {"sb3 ppo", "ppo", "ppo, not recorded", "cleanrl ppo, envpool", "leanrl ppo, CUDA graphs"} <= taking_part
    assert not taking_part & {"ppo, torch engine", "trpo", "ppo, q_gaussian:0.5"}
    assert not graphs.takes_part(TASKS["pong"]) and not CONTENDERS["ppo, not recorded"].takes_part(TASKS["pong"])


def test_where_a_task_is_silent_the_default_is_sb3s() -> None:
    signature = inspect.signature(stable_baselines3.PPO).parameters
    assert {name: signature[name].default for name in peers.NAMES} == {
        name: default for name, (_, default) in peers.NAMES.items()
    }


@pytest.mark.parametrize("name", ["trpo", "sb3-contrib trpo"])
def test_trpo_gets_the_settings_it_has(name: str) -> None:
    found = worker.settings(CONTENDERS[name], TASKS["cartpole-32"])
    assert found["n_critic_updates"] == 20
    assert not {"n_epochs", "clip_range", "ent_coef"} & found.keys()


def test_what_is_not_there_is_left_out_with_a_line(none_installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    names = training.contenders(training.parser().parse_args(["--tasks", "pong"]), {})
    lines = capsys.readouterr().out.splitlines()
    assert not set(names) & {"sbx ppo", "sb3-contrib trpo", *SCRIPTED} and "ppo" in names
    assert "left out: sbx ppo (pip install sbx-rl)" in lines
    assert "left out: leanrl ppo (--leanrl PATH of a checkout)" in lines
    assert len(lines) == 2 + len(SCRIPTED)


def test_what_a_script_lacks_is_named_for_the_tasks_at_hand(none_installed: None, tmp_path: Path) -> None:
    checkouts = {"cleanrl": checkout(tmp_path, "cleanrl", module="tyro, gym, cleanrl.ppo, envpool")}
    (tmp_path / "cleanrl/ppo.py").write_text("import numpy\n")
    assert peers.what_is_missing("cleanrl ppo", ["pong"], checkouts) == "pip install envpool tyro"
    assert peers.what_is_missing("cleanrl ppo", ["cartpole-32"], checkouts) == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contenders", "sbx ppo"], "sbx ppo: not there; pip install sbx-rl"),
        (["--contenders", "cleanrl ppo"], "cleanrl ppo: not there; --cleanrl PATH of a checkout"),
        (["--leanrl", "no/such/folder"], "--leanrl no/such/folder: has no leanrl/ppo_continuous_action.py"),
    ],
)
def test_what_was_asked_for_and_is_not_there_is_an_error(
    arguments: list[str], message: str, none_installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        training.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_turns_of_a_script_are_whole_rollouts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmark.speed.scripts", "cartpole-32", "cleanrl ppo"]
    done = subprocess.run(
        [*command, str(checkout(tmp_path, "cleanrl"))], input="go\ngo\n", capture_output=True, text=True, check=True
    )
    first, ready, *reports = done.stdout.splitlines()
    assert (first, ready) == ("global_step=0", "ready")
    assert [json.loads(report)["steps"] for report in reports] == [8192, 8192]
    assert not (tmp_path / "runs").exists()


def test_a_script_takes_part_by_its_path(tmp_path: Path) -> None:
    measured = turns.measure(
        "cartpole-128", ["cleanrl ppo", "leanrl ppo"], 1, {"cleanrl": checkout(tmp_path, "cleanrl")}
    )
    (turn,) = measured.pop("cleanrl ppo")
    assert turn.cpu > 0 and turn.peak_mb > 10 and not measured  # LeanRL has no script for CartPole


def test_a_contender_that_fails_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = checkout(tmp_path, "cleanrl")
    (root / "cleanrl/ppo.py").write_text("raise SystemExit(3)")
    assert list(turns.measure("cartpole-128", ["cleanrl ppo", "bare steps"], 1, {"cleanrl": root})) == ["bare steps"]
    assert "cartpole-128: left out: cleanrl ppo: ended with exit status 3" in capsys.readouterr().out


def test_ratios_of_trpo_are_to_sb3_contribs() -> None:
    measured: dict[str, Any] = {"sb3 ppo": 100, "sbx ppo": 50, "trpo": 30, "sb3-contrib trpo": 90}
    of = {name: [turns.Turn(cpu, cpu, 300.0, {})] for name, cpu in measured.items()}
    rows = {row["contender"]: row for row in turns.summary("cartpole-32", of, {})}
    assert {name: row["ratio"] for name, row in rows.items()} == {
        "sb3 ppo": 1.0,
        "sbx ppo": 2.0,
        "trpo": 3.0,
        "sb3-contrib trpo": 1.0,
    }
    assert rows["trpo"]["baseline"] == "sb3-contrib trpo" and rows["trpo"]["aim"] == ""


def test_every_contender_names_a_baseline_that_has_none_itself() -> None:
    for contender in CONTENDERS.values():
        assert isinstance(contender, Contender)
        assert CONTENDERS[contender.baseline].baseline == contender.baseline
