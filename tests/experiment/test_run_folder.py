"""Run folders: numbered as the zoo does, never shared, locked, recorded atomically."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from experiment.config import RunConfig
from experiment.errors import CommandError, ExitCode
from experiment.run_folder import RunFolder, file_name, run_numbers, write_atomically


def test_the_number_is_one_above_the_highest(tmp_path: Path) -> None:
    for name in ("E-v1_2", "E-v1_9", "E-v1_x", "E-v1_10_old", "OtherE-v1_50"):
        (tmp_path / "ppo" / name).mkdir(parents=True)
    with RunFolder.create(tmp_path, "ppo", "E-v1") as run:
        assert run.path == tmp_path / "ppo" / "E-v1_10"
    assert run_numbers(tmp_path / "ppo", "E-v1") == [2, 9, 10]


def test_a_namespace_becomes_part_of_the_name(tmp_path: Path) -> None:
    assert file_name("ALE/Pong-v5") == "ALE-Pong-v5"
    with RunFolder.create(tmp_path, "ppo", "ALE/Pong-v5") as run:
        assert run.path.name == "ALE-Pong-v5_1"
        assert run.model == run.path / "ALE-Pong-v5.zip"


def test_two_hundred_simultaneous_starts_get_two_hundred_folders(tmp_path: Path) -> None:
    barrier, paths = threading.Barrier(200), []

    def start() -> None:
        barrier.wait()
        with RunFolder.create(tmp_path, "ppo", "E-v1") as run:
            paths.append(run.path)

    threads = [threading.Thread(target=start) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 200


def test_a_locked_folder_is_refused_until_its_process_ends(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "ppo", "E-v1") as run:
        pass
    code = f"""
from experiment.run_folder import RunFolder
from pathlib import Path
run = RunFolder(Path({str(run.path)!r}), "E-v1"); run.lock(); print("locked", flush=True); input()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(CommandError, match="another process") as caught:
        run.lock()
    assert caught.value.code is ExitCode.CANNOT_CREATE
    holder.kill()
    holder.communicate()
    run.lock()
    run.close()


def test_discard_removes_the_folder(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "ppo", "E-v1")
    run.discard()
    assert not run.path.exists()


def test_the_record_says_what_and_where_from(tmp_path: Path) -> None:
    config = RunConfig("ppo", "E-v1", seed=5, n_timesteps=100, hyperparams={"gamma": 0.9})
    with RunFolder.create(tmp_path, "ppo", "E-v1") as run:
        run.describe(config, {"env": "E-v1", "seed": -1}, ["--env", "E-v1", "-params", "net_arch:[1, 2]"])
        run.update(status="finished", exit_code=0)
    record = json.loads((run.path / "run.json").read_text())
    assert RunConfig.from_dict(record["config"]) == config
    assert record["status"] == "finished" and record["wall_time"] >= 0
    assert record["git"].keys() == {"commit", "dirty"}
    assert {"torch", "stable-baselines3", "gymnasium", "numpy", "mujoco", "ale-py"} <= record["versions"].keys()
    assert (run.path / "E-v1" / "command.txt").read_text().endswith("train.py --env E-v1 -params 'net_arch:[1, 2]'\n")
    assert "gamma: 0.9" in (run.path / "E-v1" / "config.yml").read_text()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.json"
    write_atomically(file, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
