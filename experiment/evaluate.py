"""Evaluation: find the run, rebuild its environment, load the agent with its normaliser statistics, play."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import agents

from . import garbage, validation
from .config import RunConfig, drawn
from .errors import CommandError, ExitCode, usage
from .run_folder import file_name, run_numbers, write_atomically
from .scores import Score, score, to_json
from .train import is_deterministic, make_eval_env, print_protocol, set_threads


def evaluate(args: argparse.Namespace) -> ExitCode:
    """Print mean, standard deviation and 95 % interval of the returns; `--json` and `--video` write files.

    Raises:
        CommandError: 2 for bad usage, 65 for a file that is foreign, torn or doesn't fit, 66 for a missing one.
    """
    garbage.resume()  # all is imported, and nothing made yet that should ever be collected
    validation.check_seed(args.seed)
    args.seed = drawn(args.seed)
    validation.check_path("--log-folder", args.log_folder)
    validation.check_device(args.device)
    validation.check_algorithm(args.algo)
    validation.check_env(args.env, allow_deprecated=True)
    folder = find_run(args.log_folder, args.algo, args.env, args.exp_id)
    checkpoint = folder / ("best_model.zip" if args.load_best else f"{file_name(args.env)}.zip")
    if not checkpoint.is_file():
        hint = ", it is written by the evaluations during training (--eval-freq)" if args.load_best else ""
        raise CommandError(ExitCode.NO_INPUT, f"{checkpoint}: no such checkpoint{hint}")
    config = config_of(folder, args.algo, args.env)
    # Before either library is loaded: on Linux their defaults need a display.
    if args.video and sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    set_threads(config)
    if args.video:
        check_rendering(config)

    env = make_eval_env(config, 1, args.seed, backend="dummy", render_mode="rgb_array" if args.video else None)
    try:
        model = load(agents.ALGORITHMS[args.algo], checkpoint, env, args.device)
        model.set_random_seed(args.seed)
        deterministic = is_deterministic(config) if args.deterministic is None else args.deterministic
        film = Film(model.get_env()) if args.video else None
        result = score(model, model.get_env(), args.n_episodes, deterministic, callback=film)
    finally:
        env.close()
    video = None if film is None else film.save(folder / "videos", f"{checkpoint.stem}-seed{args.seed}")
    report(args, checkpoint, result, deterministic, config.protocol(training=False), video)
    return ExitCode.OK


def find_run(log_folder: Path, algo: str, env_id: str, exp_id: int) -> Path:
    """The folder of a run: a number, 0 for the latest, -1 for the algorithm's folder itself, as in the zoo.

    Raises:
        CommandError: 66 if there is none.
    """
    if exp_id < -1:
        raise usage(f"--exp-id {exp_id}: must be a run's number, 0 for the latest or -1 for no run folder")
    parent, name = log_folder / algo, file_name(env_id)
    if exp_id == -1:
        return parent
    numbers = run_numbers(parent, name)
    if not numbers or (exp_id > 0 and exp_id not in numbers):
        there = f"there are {', '.join(map(str, numbers))}" if numbers else "train one first"
        raise CommandError(ExitCode.NO_INPUT, f"{parent / name}_{exp_id or 'N'}: no such run; {there}")
    return parent / f"{name}_{exp_id or numbers[-1]}"


def config_of(folder: Path, algo: str, env_id: str) -> RunConfig:
    """The configuration in run.json; a folder without one is taken to hold the plain environment.

    Raises:
        CommandError: 65 if run.json is broken or tells of another environment.
    """
    path = folder / "run.json"
    if not path.is_file():
        return RunConfig(algo=algo, env=env_id, seed=0, n_timesteps=1)
    try:
        config = RunConfig.from_dict(json.loads(path.read_text())["config"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(ExitCode.BAD_CHECKPOINT, f"{path}: not the record of a run: {error}") from error
    if config.env != env_id:
        raise CommandError(ExitCode.BAD_CHECKPOINT, f"{path}: a run on {config.env}, not on {env_id}")
    return config


def load(algorithm: Any, checkpoint: Path, env: Any, device: str) -> Any:
    """The agent on its environment; the normaliser statistics in the file are used as they are, and stay so.

    Raises:
        CommandError: 65.
    """
    from agents.training.checkpoint import CheckpointError

    try:
        model = algorithm.load(checkpoint, env=env, device=device, verbose=0)
    except CheckpointError as error:
        raise CommandError(ExitCode.BAD_CHECKPOINT, str(error)) from error
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        normalizer.training = normalizer.norm_reward = False
    return model


def check_rendering(config: RunConfig) -> None:
    """Whether there would be frames for a video.

    Raises:
        CommandError: 2 if not.
    """
    env = make_eval_env(config, 1, 0, backend="dummy")
    modes = env.get_attr("metadata")[0].get("render_modes", ())
    env.close()
    if "rgb_array" not in modes:
        raise usage(f"--video: {config.env} renders no frames")


class Film:
    """Collects the frames of the first episode; the callback of `score`."""

    MAX_FRAMES = 10_000

    def __init__(self, env: Any) -> None:
        self.env = env
        self.frames: list[Any] = []
        self.running = True

    def __call__(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """See one step: the environment has been reset already when its episode is over, so that frame is left out."""
        self.running = self.running and not locals_["done"] and len(self.frames) < self.MAX_FRAMES
        if self.running:
            self.frames.append(self.env.render())

    def save(self, folder: Path, name: str) -> Path:
        """Write NAME-episode-0.mp4 through Gymnasium's writer."""
        from gymnasium.utils.save_video import save_video

        fps = int(self.env.get_attr("metadata")[0].get("render_fps", 30))
        folder.mkdir(exist_ok=True)
        save_video(self.frames, str(folder), lambda episode: True, name_prefix=name, fps=fps)
        return folder / f"{name}-episode-0.mp4"


def report(
    args: argparse.Namespace,
    checkpoint: Path,
    result: Score,
    deterministic: bool,
    protocol: dict[str, Any],
    video: Path | None,
) -> None:
    """Print the result, or write it as JSON to a file or to stdout."""
    values = {"algo": args.algo, "env": args.env, "checkpoint": str(checkpoint), "seed": args.seed}
    values |= {"deterministic": deterministic, "video": None if video is None else str(video), "protocol": protocol}
    if args.json == "-":
        sys.stdout.write(to_json(values | result.to_dict()))
        return
    print(f"{checkpoint}, {'deterministic' if deterministic else 'stochastic'} actions")
    print_protocol(protocol)
    print(result)
    if video is not None:
        print(f"video: {video}")
    if args.json is not None:
        write_atomically(Path(args.json), to_json(values | result.to_dict()))
