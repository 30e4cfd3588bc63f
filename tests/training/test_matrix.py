"""Every algorithm x head x action space x regulariser place does one update, or is refused with the reason."""

from __future__ import annotations

import re
from functools import cache
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import VecEnv

from agents import LCO, MDPO, PPO, REINFORCE, SPMA, TRPO
from envs import make_vec

SMALL: dict[str, Any] = {
    "n_steps": 16,
    "batch_size": 16,
    "n_epochs": 1,
    "learning_rate": 1e-3,
    "seed": 0,
    "device": "cpu",
}
ALGORITHMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "PPO": (PPO, {}),
    "SPMA": (SPMA, {}),
    "MDPO": (MDPO, {"n_critic_updates": 1}),
    "LCO kld": (LCO, {}),
    "LCO mse": (LCO, {"match": "mse"}),
    "LCO log_cosh": (LCO, {"match": "log_cosh"}),
    "TRPO": (TRPO, {"n_critic_updates": 1}),
    "REINFORCE": (REINFORCE, {"n_critic_updates": 1}),
}
CATEGORICAL = ("softmax", "tsallis:0.5", "tsallis:1.5", "reverse_kl", "js", "chi2", "hellinger")
BOX = ("gaussian", "q_gaussian:0.5", "q_gaussian:1.5", "binned:5", "binned:5,ordinal/tsallis:0.5")
SPACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Discrete": ("ProbeAction-v0", CATEGORICAL),
    "MultiDiscrete": ("ProbeActionMultiDiscrete-v0", CATEGORICAL),
    "MultiBinary": ("ProbeActionMultiBinary-v0", CATEGORICAL),
    "Box": ("ProbeActionBox-v0", BOX),
    "CartPole": ("CartPole-v1", ("softmax", "tsallis:0.5")),
}
REFERENCES = ("none", "uniform", "initial")
PLACES = ("reward", "loss", "both")


def _refusal(algorithm: str, head: str, reference: str = "none", advantage: str = "sampled") -> str | None:
    """Why the composition does not exist, as its error message says it; None where it does. On Box heads only."""
    if head not in BOX:
        return None
    if advantage == "dense":
        return "advantage='dense' needs a Discrete action space"
    if head.startswith("binned"):
        return None
    if algorithm in ("LCO mse", "LCO log_cosh"):
        return "has no scores; use match='kld' or a binned head"
    if head == "q_gaussian:1.5" and algorithm in ("SPMA", "MDPO", "TRPO"):
        return "supports are compact for alpha=1.5 > 1"
    if head == "gaussian" and reference == "uniform":
        return "a Gaussian has no uniform reference"
    if head.startswith("q_gaussian") and reference != "none":
        return "has no closed form"
    return None


@cache
def _env(env_id: str) -> VecEnv:
    return make_vec(env_id, n_envs=2, seed=0)


def _model(algorithm: str, space: str, head: str, **kwargs: Any) -> Any:
    cls, own = ALGORITHMS[algorithm]
    policy_kwargs = {"head": head, "net_arch": [8]}
    return cls("MlpPolicy", _env(SPACES[space][0]), policy_kwargs=policy_kwargs, **SMALL | own | kwargs)


def _updates_once(model: Any) -> None:
    """One update leaves every weight finite and moves the actor (its bias: where the probe shows 0, no weight does)."""
    before = model.policy.action_net.bias.detach().clone()
    model.learn(SMALL["n_steps"] * 2)
    assert all(value.isfinite().all() for value in model.policy.state_dict().values())
    assert not torch.equal(model.policy.action_net.bias, before)
    logged = {k: v for k, v in model.logger.name_to_value.items() if k.startswith("train/") and "explained" not in k}
    assert all(np.isfinite(value) for value in logged.values()), logged


def _check_cell(algorithm: str, space: str, head: str, reference: str, **kwargs: Any) -> None:
    refusal = _refusal(algorithm, head, reference, kwargs.get("advantage", "sampled"))
    if refusal is None:
        _updates_once(_model(algorithm, space, head, **kwargs))
        return
    with pytest.raises(ValueError, match=re.escape(refusal)):
        _model(algorithm, space, head, **kwargs)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_head(algorithm: str, space: str) -> None:
    for head in SPACES[space][1]:
        _check_cell(algorithm, space, head, "none")


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_regulariser_place(algorithm: str, space: str) -> None:
    """Places and references in turn over heads and algorithms; each Box head has all, since there they are refused."""
    places = list(product(("uniform", "initial"), PLACES))
    for i, head in enumerate(SPACES[space][1], start=list(ALGORITHMS).index(algorithm)):
        for reference, where in places if space == "Box" else (places[i % 6],):
            kwargs = {"regularizer": "kl", "reg_coef": 0.1, "reg_where": where, "reg_reference": reference}
            _check_cell(algorithm, space, head, reference, **kwargs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_dense_advantages(algorithm: str) -> None:
    """On Discrete with every head (CartPole: at an observation of 0, Q starts at 0); refused on products and boxes."""
    for head in CATEGORICAL:
        _updates_once(_model(algorithm, "CartPole", head, advantage="dense"))
    for space in ("MultiDiscrete", "MultiBinary", "Box"):
        with pytest.raises(ValueError, match="advantage='dense' needs a Discrete action space"):
            _model(algorithm, space, SPACES[space][1][0], advantage="dense")


@pytest.mark.parametrize("step", ["adam", "armijo", "trust_region"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_step(algorithm: str, step: str) -> None:
    for space, head in (("CartPole", "softmax"), ("CartPole", "tsallis:0.5"), ("Box", "binned:5")):
        _updates_once(_model(algorithm, space, head, step=step))


@pytest.mark.parametrize("algorithm", ["PPO", "LCO kld", "REINFORCE"])
def test_a_trust_region_needs_a_kl(algorithm: str) -> None:
    with pytest.raises(ValueError, match="supports are compact"):
        _model(algorithm, "Box", "q_gaussian:1.5", step="trust_region")


@pytest.mark.parametrize("head", CATEGORICAL)
def test_box_needs_a_box_head_and_the_other_way_round(head: str) -> None:
    with pytest.raises(ValueError, match=f"on a Box, 'binned:11/{head}' makes one per dimension"):
        _model("PPO", "Box", head)
    for space in ("Discrete", "MultiDiscrete", "MultiBinary"):
        with pytest.raises(ValueError, match="needs a Box action space"):
            _model("PPO", space, "gaussian")


# 47 updates; those of one step per rollout get a larger one, and all get eight passes of the critic.
PROBE: dict[str, Any] = {
    "n_steps": 64,
    "batch_size": 256,
    "n_epochs": 8,
    "learning_rate": "lin_1e-2",
    "gamma": 0.8,
    "gae_lambda": 1.0,
}
PROBE_OWN: dict[str, dict[str, Any]] = {
    "LCO kld": {"beta": 1.0},
    "LCO mse": {"beta": 1.0},
    "LCO log_cosh": {"beta": 1.0},
    "TRPO": {"n_epochs": 1, "target_kl": 0.05, "n_critic_updates": 8},
    "REINFORCE": {"n_epochs": 1, "n_critic_updates": 8, "learning_rate": "lin_5e-2"},
    "MDPO": {"n_critic_updates": 8},
}
BEST: dict[str, Any] = {"Discrete": 1, "MultiDiscrete": [1, 2], "MultiBinary": [1, 0, 1], "Box": [0.5]}
PROBE_CELLS = [(space, head) for space in BEST for head in SPACES[space][1]]


@pytest.mark.slow
@pytest.mark.parametrize(("space", "head"), PROBE_CELLS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_cell_solves_its_probe(algorithm: str, space: str, head: str) -> None:
    """The best action is found (the true one of 5 bins is within reach), and the value of what is done is known."""
    refusal = _refusal(algorithm, head)
    if refusal is not None:
        with pytest.raises(ValueError, match=re.escape(refusal)):
            _model(algorithm, space, head)
        return
    cls, own = ALGORITHMS[algorithm]
    env = make_vec(SPACES[space][0], n_envs=4, seed=0)
    settings = PROBE | own | PROBE_OWN.get(algorithm, {})
    # From a wide start with heavy tails the plain policy gradient drifts to where clipping makes the reward flat.
    policy_kwargs: dict[str, Any] = {"head": head} | ({"log_std_init": -1.0} if algorithm == "REINFORCE" else {})
    model = cls("MlpPolicy", env, seed=0, device="cpu", policy_kwargs=policy_kwargs, **settings).learn(12_000)
    action = model.predict(np.zeros(1, np.float32), deterministic=True)[0]
    np.testing.assert_allclose(action, BEST[space], atol=0.15 if space == "Box" else 0)
    with torch.no_grad():
        value = model.policy.predict_values(torch.zeros(1, 1)).item()
    played = np.array([episode["r"] for episode in model.ep_info_buffer]).mean()
    assert value == pytest.approx(played, abs=0.15)
    assert played > 0.75


@pytest.mark.slow
@pytest.mark.parametrize(
    "env_id", ["ProbeConstant-v0", "ProbeObservation-v0", "ProbeDiscount-v0", "ProbeTruncation-v0"]
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_values_are_the_known_ones(algorithm: str, env_id: str) -> None:
    cls, own = ALGORITHMS[algorithm]
    settings = PROBE | own | PROBE_OWN.get(algorithm, {})
    model = cls("MlpPolicy", make_vec(env_id, n_envs=4, seed=0), seed=0, device="cpu", **settings).learn(10_000)
    known = gym.make(env_id).unwrapped
    observations = {"ProbeObservation-v0": [-1.0, 1.0], "ProbeDiscount-v0": [0.0, 1.0]}.get(env_id, [0.0])
    for observation in observations:
        with torch.no_grad():
            value = model.policy.predict_values(torch.tensor([[observation]])).item()
        assert value == pytest.approx(known.optimal_value(observation, PROBE["gamma"]), abs=0.1)
