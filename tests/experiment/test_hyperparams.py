"""Every entry of every hyperparameter file makes a valid run; some are built for real and stay as written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import agents
from experiment.config import HYPERPARAMS, resolve
from experiment.flags import parse, train_parser
from experiment.run_folder import RunFolder
from experiment.strict_yaml import read_yaml
from experiment.train import close, set_up

MUJOCO = (
    "HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5", "HumanoidStandup-v5", "Swimmer-v5",
    "Reacher-v5", "Pusher-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5",
)  # fmt: skip
REQUIRED = {"default", "atari", "CartPole-v1", "NoisyCartPole-v1", *MUJOCO}
EXAMPLES = {"default": "Acrobot-v1", "atari": "ALE/Pong-v5"}
ENTRIES = [(path.stem, name) for path in sorted(HYPERPARAMS.glob("*.yml")) for name in read_yaml(path)]


def arguments(algo: str, entry: str, *more: str) -> Any:
    """Parsed arguments of a run that uses an entry."""
    return parse(train_parser(), ["--algo", algo, "--env", EXAMPLES.get(entry, entry), *more])


def test_every_algorithm_has_every_entry() -> None:
    for algo in agents.ALGORITHMS:
        assert REQUIRED <= {entry for file, entry in ENTRIES if file == algo}
    assert {file for file, _ in ENTRIES} <= set(agents.ALGORITHMS)


@pytest.mark.parametrize(("algo", "entry"), ENTRIES)
def test_an_entry_is_a_valid_run(algo: str, entry: str) -> None:
    written = read_yaml(HYPERPARAMS / f"{algo}.yml")[entry]
    assert isinstance(written, dict)
    config = resolve(arguments(algo, entry, "--seed", "0"))
    for name, value in written.items():
        assert (config.hyperparams | config.to_dict())[name] == value


@pytest.mark.parametrize("algo", list(agents.ALGORITHMS))
@pytest.mark.parametrize("env_id", ["CartPole-v1", "NoisyCartPole-v1", "HalfCheetah-v5"])
def test_an_entry_builds_the_agent_it_describes(algo: str, env_id: str, tmp_path: Path) -> None:
    args = arguments(algo, env_id, "--seed", "0", "--verbose", "0")
    config = resolve(args)
    before = config.to_yaml()
    with RunFolder.create(tmp_path, algo, env_id) as run:
        model, eval_env, _ = set_up(config, args, [], run)
        close(model, eval_env)
    assert config.to_yaml() == before
    assert model.n_envs == config.n_envs
    assert (model.get_vec_normalize_env() is not None) == bool(config.normalize)
    for name in ("n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "learning_rate"):
        if name in config.hyperparams:
            assert getattr(model, name) == config.hyperparams[name]


def test_an_environment_without_an_entry_of_its_own_takes_the_default(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("default: {n_timesteps: 10, gamma: 0.5}\natari: {n_timesteps: 20}\nAcrobot-v1: {n_timesteps: 30}")
    conf = ("--conf-file", str(file))
    assert resolve(arguments("ppo", "Pendulum-v1", *conf)).hyperparams == {"gamma": 0.5}
    assert resolve(arguments("ppo", "Acrobot-v1", *conf)).hyperparams == {}
    assert resolve(arguments("ppo", "atari", *conf, "-params", "policy:CnnPolicy")).n_timesteps == 20


def test_the_command_line_wins_over_the_file() -> None:
    more = ["-n", "1e4", "--head", "tsallis:0.5", "--reg", "kl,coef=0.1", "--reward-noise", "0.5"]
    more += ["-params", "n_steps:1e2", "n_envs:4", "gamma:0.5", "normalize:True", "policy_kwargs:dict(net_arch=[8])"]
    config = resolve(arguments("ppo", "CartPole-v1", *more, "--env-kwargs", "sutton_barto_reward:True"))
    assert (config.n_timesteps, config.n_envs, config.reward_noise) == (10_000, 4, 0.5)
    assert config.hyperparams["n_steps"] == 100 and isinstance(config.hyperparams["n_steps"], int)
    assert config.hyperparams["policy_kwargs"] == {"net_arch": [8], "head": "tsallis:0.5"}
    assert (config.hyperparams["regularizer"], config.hyperparams["reg_coef"]) == ("kl", 0.1)
    assert config.env_kwargs == {"sutton_barto_reward": True}
    training, evaluation = config.env_arguments(training=True), config.env_arguments(training=False)
    assert training["normalize"] == {"gamma": 0.5}  # returns are scaled with the agent's own discount
    assert (training["reward_noise"], evaluation["reward_noise"]) == (0.5, 0.0)


def test_a_random_seed_is_drawn_once_and_known() -> None:
    seeds = {resolve(arguments("ppo", "CartPole-v1")).seed for _ in range(4)}
    assert len(seeds) > 1 and min(seeds) >= 0
