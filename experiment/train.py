"""Training, top-down: configuration -> folder -> environments -> agent -> learn -> save -> evaluation -> picture."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from . import garbage
from .config import RunConfig
from .errors import CommandError, ExitCode, describe, exit_code, usage
from .learning_curve import draw_learning_curve
from .run_folder import RunFolder, file_name, make_numbered, write_atomically
from .scores import Score, score
from .signals import CutShort, StopRequest

FINAL_EVALUATIONS = 4  # the last evaluation takes this many times the episodes of one on the way
EVAL_SEED = 1_000_003  # evaluation environments are seeded away from the training ones


def train(config: RunConfig, args: argparse.Namespace, argv: list[str]) -> ExitCode:
    """Train one agent in a new run folder, and tell where it is.

    Raises:
        CommandError: for what can't be set up; nothing stays behind then. What fails later is in run.json too.
    """
    garbage.resume()  # all is imported, and nothing made yet that should ever be collected
    set_threads(config)
    with RunFolder.create(args.log_folder, config.algo, config.env) as run, StopRequest() as stop:
        try:
            model, eval_env, events = set_up(config, args, argv, run)
        except ValueError as error:
            run.discard()
            raise usage(str(error)) from error
        except BaseException:
            run.discard()
            raise
        if args.verbose:
            print(f"{type(model).__name__} on {config.env}, seed {config.seed}, in {run.path}", flush=True)
            print_protocol(config.protocol())
        try:
            final = learn(config, args, run, model, eval_env, stop)
        except BaseException as error:
            run.update(status="failed", reason=describe(error).removeprefix("error: "), exit_code=int(exit_code(error)))
            raise
        finally:
            close(model, eval_env)
        if final is None:
            raise CommandError(
                stop.exit_code, f"{stop.name}: stopped at step {model.num_timesteps}, model saved in {run.model}"
            )
        report(config, args, run, final, events)
    return ExitCode.OK


def print_protocol(rules: dict[str, Any]) -> None:
    """In one line; nothing for environments without one."""
    if rules:
        print("protocol: " + ", ".join(f"{name} {value}" for name, value in rules.items()), flush=True)


def set_threads(config: RunConfig) -> None:
    """One torch thread unless more are asked for.

    On the small matrices of an MLP threads wait for each other, 3 to 20 times slower. By torch's convolutions NatureCNN
    took 9.4 s on Pong with two threads where one took 12.0 s on an idle two-core machine, at 1.5 times its CPU time,
    and 28.8 s on a busy one; one thread has convolutions that take less (`agents/training/engine/winograd.py`).
    """
    import torch

    torch.set_num_threads(config.num_threads if config.num_threads > 0 else 1)


def env_threads(config: RunConfig) -> int:
    """As many as asked for, else one; but where a GPU would wait for environments, one for each as far as cores go."""
    from stable_baselines3.common.utils import get_device

    if config.num_threads > 0 or get_device(config.device).type == "cpu":
        return max(config.num_threads, 1)
    return min(config.n_envs, os.cpu_count() or 1)


def set_up(config: RunConfig, args: argparse.Namespace, argv: list[str], run: RunFolder) -> tuple[Any, Any, Path]:
    """Environments, agent and log of a run; its description is written."""
    import agents
    import envs

    from .callbacks import make_logger

    env = envs.make_vec(
        config.env,
        config.n_envs,
        seed=config.seed,
        backend=config.vec_env,
        monitor_dir=str(run.path),
        num_threads=env_threads(config),
        **config.env_arguments(training=True),
    )
    try:
        eval_env = make_eval_env(config, config.n_eval_envs, config.seed + EVAL_SEED)
        given = {"seed": config.seed, "device": config.device, "verbose": args.verbose}
        model = agents.ALGORITHMS[config.algo](config.policy, env, **given, **config.hyperparams)
        events = tensorboard_folder(config, args.tensorboard_log, run)
        if model.engine == "fused":
            model.choose_engine(config.n_timesteps)
        model.set_logger(make_logger(events, to_screen=args.verbose >= 1 and not args.progress))
        options = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
        run.describe(config, options, argv, protocol=config.protocol(), tensorboard=str(events))
    except BaseException:
        env.close()
        raise
    return model, eval_env, events


def make_eval_env(config: RunConfig, n_envs: int, seed: int, **more: Any) -> Any:
    """The environment of a run as it is evaluated: no noise on the reward, no clipping, statistics frozen."""
    import envs

    return envs.make_vec(config.env, n_envs, seed=seed % 2**31, **config.env_arguments(training=False), **more)


def is_deterministic(config: RunConfig) -> bool:
    """Evaluate the mode of the policy, but on Atari its samples, as the zoo does."""
    return not config.protocol()


def tensorboard_folder(config: RunConfig, given: Path | None, run: RunFolder) -> Path:
    """DIR/ENV/ALGO_K, or RUN/ALGO_1 so that `tensorboard --logdir logs` shows all runs.

    Raises:
        CommandError: 73 if it can't be made.
    """
    parent = run.path if given is None else given / file_name(config.env)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return make_numbered(parent, config.algo.upper())
    except OSError as error:
        raise CommandError(
            ExitCode.CANNOT_CREATE, f"--tensorboard-log: can't make {parent}: {error.strerror}"
        ) from error


def learn(
    config: RunConfig, args: argparse.Namespace, run: RunFolder, model: Any, eval_env: Any, stop: StopRequest
) -> Score | None:
    """Learn, save, evaluate; None if a signal stopped it."""
    from stable_baselines3.common.vec_env import sync_envs_normalization

    from .callbacks import make_callbacks

    deterministic = is_deterministic(config)
    callbacks = make_callbacks(config, run, eval_env, stop, deterministic, args.progress, args.verbose)
    interval = {-1: 1, -2: 10**12}.get(config.log_interval, config.log_interval)
    model.learn(config.n_timesteps, callback=callbacks, log_interval=interval)
    run.update(engine=model.engine_description)
    model.save(run.model)
    if model.get_vec_normalize_env() is not None:
        sync_envs_normalization(model.get_env(), eval_env)
    try:
        stop.cut_short()
        final = score(model, eval_env, FINAL_EVALUATIONS * config.eval_episodes, deterministic, stop.cut_short)
    except CutShort:
        run.update(status="interrupted", reason=stop.name, exit_code=int(stop.exit_code), steps=model.num_timesteps)
        return None
    run.update(status="finished", exit_code=0, steps=model.num_timesteps, evaluation=final.to_dict())
    return final


def close(model: Any, eval_env: Any) -> None:
    """End workers and log files."""
    model.logger.close()
    model.get_env().close()
    eval_env.close()


def report(config: RunConfig, args: argparse.Namespace, run: RunFolder, final: Score, events: Path) -> None:
    """Draw the learning curve and say where everything is."""
    from .callbacks import warn

    try:
        curve = draw_learning_curve(run.path, f"{config.algo.upper()} on {config.env}, seed {config.seed}")
    except Exception as error:  # a picture must not cost the run
        curve = None
        warn(f"no learning curve: {type(error).__name__}: {error}")
    if args.result_json is not None:
        write_atomically(args.result_json, json.dumps({"folder": str(run.path), "mean": final.mean}))
    logdir = args.tensorboard_log or args.log_folder
    number = run.path.name.rpartition("_")[2]
    print(f"evaluation: {final}")
    print(f"run folder: {run.path}" + (f", learning curve: {curve.name}" if curve else ""))
    print(f"dashboard:  tensorboard --logdir {logdir}")
    print(
        f"evaluate:   python evaluate.py --algo {config.algo} --env {config.env} -f {args.log_folder} --exp-id {number}"
    )
