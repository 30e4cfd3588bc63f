"""`LOG_FOLDER/ALGO/ENV_N/`, the zoo's layout: made exclusively, locked while the run lasts, with a record of it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import yaml

from .config import RunConfig
from .errors import CommandError, ExitCode
from .provenance import provenance


class RunFolder:
    """The folder of one run: `create` makes one that no other process has, leaving the `with` block unlocks it."""

    def __init__(self, path: Path, env_id: str) -> None:
        self.path = path
        self.name = file_name(env_id)
        self.record: dict[str, Any] = {}
        self._lock: IO[str] | None = None
        self._started = time.monotonic()

    @classmethod
    def create(cls, log_folder: Path, algo: str, env_id: str) -> RunFolder:
        """The next free number, made by mkdir (which only one process can win) and locked.

        Raises:
            CommandError: 73 if the folder can't be made.
        """
        parent = log_folder / algo
        try:
            parent.mkdir(parents=True, exist_ok=True)
            run = cls(make_numbered(parent, file_name(env_id)), env_id)
            (run.path / run.name).mkdir()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(
                ExitCode.CANNOT_CREATE, f"--log-folder: can't make a run folder in {parent}: {reason}"
            ) from error
        run.lock()
        return run

    @property
    def model(self) -> Path:
        """The final model."""
        return self.path / f"{self.name}.zip"

    @property
    def best_model(self) -> Path:
        """The model of the best evaluation."""
        return self.path / "best_model.zip"

    def lock(self) -> None:
        """Hold the folder until `close`, or until this process ends in whatever way.

        Raises:
            CommandError: 73 if another process holds it.
        """
        file = (self.path / ".lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise CommandError(
                ExitCode.CANNOT_CREATE, f"{self.path}: another process is running in this folder"
            ) from error
        self._lock = file

    def close(self) -> None:
        """Unlock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def discard(self) -> None:
        """Remove the folder of a run that never began."""
        self.close()
        shutil.rmtree(self.path)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self, config: RunConfig, args: dict[str, Any], argv: list[str], **more: object) -> None:
        """Write what the run is: the zoo's args.yml, config.yml and command.txt, and run.json."""
        command = shlex.join([Path(sys.executable).name, "train.py", *argv])
        zoo = {
            **config.hyperparams,
            "n_timesteps": config.n_timesteps,
            "n_envs": config.n_envs,
            "policy": config.policy,
        }
        zoo |= {"normalize": config.normalize, "frame_stack": config.frame_stack, "env_kwargs": config.env_kwargs}
        folder = self.path / self.name
        (folder / "args.yml").write_text(yaml.safe_dump(args, sort_keys=False))
        (folder / "config.yml").write_text(yaml.safe_dump({k: v for k, v in zoo.items() if v is not None}))
        (folder / "command.txt").write_text(command + "\n")
        self.record = {"status": "running", "reason": None, "argv": argv, "config": config.to_dict()}
        self.update(started=time.strftime("%Y-%m-%dT%H:%M:%S%z"), pid=os.getpid(), **provenance(), **more)

    def update(self, **values: object) -> None:
        """Put values into run.json; wall_time is kept up to date."""
        self.record |= values | {"wall_time": round(time.monotonic() - self._started, 3)}
        write_atomically(self.path / "run.json", json.dumps(self.record, indent=2, allow_nan=False) + "\n")


def file_name(env_id: str) -> str:
    """An environment id as part of a file name: `ALE/Pong-v5` is `ALE-Pong-v5`, as in the zoo."""
    return env_id.replace("/", "-")


def run_numbers(parent: Path, name: str) -> list[int]:
    """The N of all `NAME_N` in a folder, sorted."""
    entries: Iterable[Path] = parent.iterdir() if parent.is_dir() else ()
    matches = (re.fullmatch(re.escape(name) + r"_(\d+)", entry.name) for entry in entries)
    return sorted(int(match[1]) for match in matches if match)


def make_numbered(parent: Path, name: str) -> Path:
    """Make `parent/NAME_N` with N one above the highest there is; simultaneous callers get different folders."""
    number = max(run_numbers(parent, name), default=0) + 1
    while True:
        path = parent / f"{name}_{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a crash, sees the old or the new one and nothing between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
