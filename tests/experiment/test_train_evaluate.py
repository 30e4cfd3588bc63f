"""The two commands end to end: train, evaluate, and what may go wrong between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agents
from experiment import callbacks
from experiment.evaluate import config_of, load
from experiment.run_folder import RunFolder, run_numbers
from experiment.signals import StopRequest
from experiment.strict_yaml import read_yaml
from experiment.train import make_eval_env

CHECKOUT = Path(__file__).parents[2]
SHORT = ("-n", "1024", "--eval-freq", "512", "--eval-episodes", "1", "--seed", "1")
ONLY_FINAL = ("--eval-freq", "-1", "--eval-episodes", "1")
Run = Callable[..., Any]


def command(logs: Path, *arguments: str) -> list[str]:
    """`train.py` as a shell calls it."""
    return [sys.executable, str(CHECKOUT / "train.py"), "-f", str(logs), "--verbose", "0", *arguments]


def test_train_then_evaluate(train: Run, evaluate: Run, logs: Path, tmp_path: Path) -> None:
    done = train(*SHORT, "--save-freq", "512")
    assert done.code == 0, done.err
    run = logs / "ppo" / "CartPole-v1_1"
    files = {path.name for path in run.iterdir()}
    assert {"CartPole-v1.zip", "best_model.zip", "evaluations.npz", "run.json", "learning_curve.png"} <= files
    assert {"rl_model_512_steps.zip", "rl_model_1024_steps.zip", "0.monitor.csv", "7.monitor.csv"} <= files
    assert list((run / "PPO_1").glob("events.out.tfevents.*"))
    assert {path.name for path in (run / "CartPole-v1").iterdir()} == {"args.yml", "config.yml", "command.txt"}
    assert read_yaml(run / "CartPole-v1" / "args.yml")["env"] == "CartPole-v1"
    assert read_yaml(run / "CartPole-v1" / "config.yml")["n_timesteps"] == 1024
    with np.load(run / "evaluations.npz") as evaluations:
        assert evaluations["timesteps"].tolist() == [512, 1024]
        assert evaluations["results"].shape == (2, 1)

    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["exit_code"], record["steps"]) == ("finished", 0, 1024)
    assert record["evaluation"]["episodes"] == 4
    assert record["platform"]["torch_threads"] == 1
    for hint in (str(run), "tensorboard --logdir", "evaluate.py --algo ppo --env CartPole-v1"):
        assert hint in done.out

    played = evaluate("--n-episodes", "3", "--seed", "7", "--json", "-")
    assert played.code == 0, played.err
    result = json.loads(played.out)
    assert len(result["returns"]) == 3
    assert result["mean"] == pytest.approx(np.mean(result["returns"]))
    assert result["ci95"][0] <= result["mean"] <= result["ci95"][1]
    assert result["deterministic"] is True

    file = tmp_path / "again.json"
    again = evaluate("--n-episodes", "3", "--seed", "7", "--json", str(file))
    assert json.loads(file.read_text()) == result  # same seed, same games
    assert f"{result['mean']:.2f}" in again.out and "95 % interval" in again.out
    best = evaluate("--load-best", "--n-episodes", "1", "--stochastic", "--exp-id", "1")
    assert "best_model.zip, stochastic" in best.out and "interval" not in best.out


def test_a_normalised_run_is_evaluated_with_its_statistics(train: Run, evaluate: Run, logs: Path) -> None:
    done = train("--env", "Pendulum-v1", "-n", "512", *ONLY_FINAL, "--seed", "1",
                 "-params", "normalize:dict(norm_reward=True)", "n_envs:2", "n_steps:128")  # fmt: skip
    assert done.code == 0, done.err
    run = logs / "ppo" / "Pendulum-v1_1"
    config = config_of(run, "ppo", "Pendulum-v1")
    statistics = []
    for forgotten in (config, config.from_dict(config.to_dict() | {"normalize": False})):
        env = make_eval_env(forgotten, 1, seed=0)
        model = load(agents.ALGORITHMS["ppo"], run / "Pendulum-v1.zip", env, "cpu")
        normalizer = model.get_vec_normalize_env()
        assert normalizer is not None and not normalizer.training and not normalizer.norm_reward
        statistics.append(normalizer.obs_rms)
    assert statistics[0].count > 512  # SB3 starts the count at epsilon and adds every training observation
    np.testing.assert_array_equal(statistics[0].mean, statistics[1].mean)
    assert evaluate("--env", "Pendulum-v1", "--n-episodes", "1").code == 0


def test_noise_is_in_training_and_never_in_what_is_reported(train: Run, logs: Path) -> None:
    what = ("--algo", "spma", "--env", "NoisyCartPole-v1", "--head", "tsallis:0.5", "--reward-noise", "0.5")
    done = train(*what, *SHORT, "--objective-args", "eta:0.1", "--reg", "tsallis:0.5,coef=0.01")
    assert done.code == 0, done.err
    run = logs / "spma" / "NoisyCartPole-v1_1"
    for file in run.glob("*.monitor.csv"):
        for row in file.read_text().splitlines()[2:]:
            episode_return, length, _ = row.split(",")
            assert float(episode_return) == int(length)
    with np.load(run / "evaluations.npz") as evaluations:
        np.testing.assert_array_equal(evaluations["results"], evaluations["ep_lengths"])


def test_tensorboard_folder_of_the_users(train: Run, tmp_path: Path) -> None:
    for number in (1, 2):
        assert train("-n", "256", *ONLY_FINAL, "-tb", str(tmp_path / "tb")).code == 0
        assert list((tmp_path / "tb" / "CartPole-v1" / f"PPO_{number}").glob("events*"))


def test_several_seeds(train: Run, logs: Path, tmp_path: Path) -> None:
    done = train("--seeds", "3,5", "--jobs", "2", "-n", "256", *ONLY_FINAL, "--num-threads", "1")
    assert done.code == 0, done.err
    records = [json.loads(path.read_text()) for path in logs.glob("ppo/*/run.json")]
    assert sorted(record["config"]["seed"] for record in records) == [3, 5]
    means = [record["evaluation"]["mean"] for record in records]
    table = {line.split()[0]: line.split() for line in done.out.splitlines() if line.strip()}
    assert float(table["median"][1]) == pytest.approx(np.median(means), abs=0.01)
    assert {table["3"][2], table["5"][2]} == {str(path) for path in logs.glob("ppo/*")}


def test_a_failed_seed_fails_the_command(train: Run, logs: Path) -> None:
    done = train("--seeds", "7", "-n", "256", "-params", "learning_rate:1e30", "--verbose", "0")
    assert done.code == 78
    assert done.err.splitlines()[-1] == "error: 1 of 1 seeds failed: 7"
    assert "failed" in done.out


def test_diverged_training_stops_and_says_why(train: Run, logs: Path) -> None:
    done = train("-n", "2048", "-params", "learning_rate:1e30", "--verbose", "0")
    assert done.code == 78
    assert done.err.count("\n") == 1 and "gradient" in done.err
    record = json.loads((logs / "ppo" / "CartPole-v1_1" / "run.json").read_text())
    assert (record["status"], record["exit_code"]) == ("failed", 78)
    assert "gradient" in record["reason"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("moment", ["StopOnSignal._on_step", "Evaluation._log_success_callback"])
def test_a_signal_stops_saves_and_says_so(
    number: signal.Signals, code: int, moment: str, train: Run, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, method = moment.split(".")
    original = getattr(vars(callbacks)[owner], method)

    def interrupted(self: Any, *arguments: Any) -> Any:
        if self.n_calls == 50:
            signal.raise_signal(number)
        return original(self, *arguments)

    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(vars(callbacks)[owner], method, interrupted)
    done = train("-n", "1e7", "--eval-freq", "400", "--verbose", "0")
    assert done.code == code, done.err
    model = logs / "ppo" / "CartPole-v1_1" / "CartPole-v1.zip"
    assert done.err == f"error: {number.name}: stopped at step 400, model saved in {model}\n"
    check_interrupted(logs, number, code)
    assert {each: signal.getsignal(each) for each in handlers} == handlers


def test_sigterm_from_outside(logs: Path) -> None:
    process = subprocess.Popen(command(logs, "-n", "1e7", "--eval-freq", "-1"), stderr=subprocess.PIPE, text=True)
    try:
        wait_for_an_episode(process, logs)
        process.terminate()
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 143
    check_interrupted(logs, signal.SIGTERM, 143)


def test_ctrl_c_reaches_the_workers_and_is_not_for_them(logs: Path) -> None:
    argv = command(logs, "-n", "1e7", "--eval-freq", "-1", "--vec-env", "subproc", "-params", "n_envs:2", "n_steps:128")
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_for_an_episode(process, logs)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    check_interrupted(logs, signal.SIGINT, 130)


def test_an_evaluation_with_a_random_seed_and_one_without_frames(train: Run, evaluate: Run) -> None:
    assert train("--env", "NChain-v0", "-n", "256", *ONLY_FINAL).code == 0
    seeds = [json.loads(evaluate("--env", "NChain-v0", "--seed", "-1", "--json", "-").out)["seed"] for _ in range(2)]
    assert min(seeds) >= 0 and seeds[0] != seeds[1]
    done = evaluate("--env", "NChain-v0", "--video")
    assert (done.code, done.err) == (2, "error: --video: NChain-v0 renders no frames\n")


def test_a_signal_cuts_the_final_evaluation_short(train: Run, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_short = StopRequest.cut_short

    def interrupted(self: StopRequest, *arguments: object) -> None:
        if arguments:
            signal.raise_signal(signal.SIGINT)
        cut_short(self, *arguments)

    monkeypatch.setattr(StopRequest, "cut_short", interrupted)
    assert train("-n", "256", "--eval-freq", "-1", "--verbose", "0").code == 130
    check_interrupted(logs, signal.SIGINT, 130)


def wait_for_an_episode(process: subprocess.Popen[str], logs: Path) -> None:
    """Until one has ended: then the training loop runs."""
    monitor = logs / "ppo" / "CartPole-v1_1" / "0.monitor.csv"
    deadline = time.monotonic() + 60
    while not (monitor.is_file() and monitor.read_text().count("\n") > 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def check_interrupted(logs: Path, number: signal.Signals, code: int) -> None:
    """The record says what happened, and the model is there."""
    run = logs / "ppo" / "CartPole-v1_1"
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["reason"], record["exit_code"]) == ("interrupted", number.name, code)
    model = agents.ALGORITHMS["ppo"].load(run / "CartPole-v1.zip")
    assert model.num_timesteps == record["steps"] > 0


def test_runs_started_together_have_a_folder_each(logs: Path) -> None:
    runs = [subprocess.Popen(command(logs, "-n", "64", *ONLY_FINAL), stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    assert run_numbers(logs / "ppo", "CartPole-v1") == [1, 2]


def test_disk_errors_of_log_and_picture_do_not_cost_the_run(
    train: Run, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stable_baselines3.common.logger import TensorBoardOutputFormat

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoardOutputFormat, "write", full)
    monkeypatch.setattr(np, "savez", full)
    monkeypatch.setattr("experiment.train.draw_learning_curve", full)
    done = train(*SHORT)
    assert done.code == 0, done.err
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 4  # events once, two evaluations, the picture
    assert (logs / "ppo" / "CartPole-v1_1" / "CartPole-v1.zip").is_file()


def test_a_disk_error_of_the_model_is_an_error(train: Run, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(agents.ALGORITHMS["ppo"], "save", full)
    done = train("-n", "256", "--eval-freq", "-1")
    assert done.code == 74 and "No space left" in done.err
    assert json.loads((logs / "ppo" / "CartPole-v1_1" / "run.json").read_text())["status"] == "failed"


def test_a_run_that_cannot_begin_leaves_no_folder(train: Run, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(agents.ALGORITHMS["ppo"], "set_logger", no_memory)
    done = train("-n", "256")
    assert done.code == 70 and "RuntimeError: out of memory" in done.err
    assert not list((logs / "ppo").iterdir())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04" + b"\0" * 100])
def test_a_foreign_checkpoint_is_refused(content: bytes, evaluate: Run, logs: Path) -> None:
    with RunFolder.create(logs, "ppo", "CartPole-v1") as run:
        run.model.write_bytes(content)
    done = evaluate()
    assert (done.code, done.err.count("\n")) == (65, 1), done.err


def test_a_checkpoint_that_does_not_fit_is_refused(train: Run, evaluate: Run, logs: Path) -> None:
    assert train("-n", "64", *ONLY_FINAL).code == 0
    checkpoint = (logs / "ppo" / "CartPole-v1_1" / "CartPole-v1.zip").read_bytes()
    with RunFolder.create(logs, "ppo", "Acrobot-v1") as run:
        run.model.write_bytes(checkpoint)
    misfit = evaluate("--env", "Acrobot-v1")
    assert misfit.code == 65 and "observation space" in misfit.err
    with RunFolder.create(logs, "spma", "CartPole-v1") as run:
        run.model.write_bytes(checkpoint)
    other = evaluate("--algo", "spma")
    assert other.code == 65 and "PPO" in other.err
    os.replace(logs / "ppo" / "CartPole-v1_1" / "run.json", logs / "ppo" / "Acrobot-v1_1" / "run.json")
    assert evaluate("--env", "Acrobot-v1").code == 65
    (logs / "ppo" / "Acrobot-v1_1" / "run.json").write_text("{")
    assert "run.json" in evaluate("--env", "Acrobot-v1").err


def test_video(train: Run, evaluate: Run, logs: Path) -> None:
    assert train("-n", "64", *ONLY_FINAL).code == 0
    done = evaluate("--video", "--n-episodes", "1", "--seed", "4")
    assert done.code == 0, done.err
    video = logs / "ppo" / "CartPole-v1_1" / "videos" / "CartPole-v1-seed4-episode-0.mp4"
    assert str(video) in done.out
    assert video.read_bytes()[4:8] == b"ftyp"
