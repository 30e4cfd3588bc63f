"""Heads by name: what they build, what they refuse, and a user's own."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces
from torch.distributions import kl_divergence

import agents
from agents import PPO
from agents.distributions import DiagonalGaussian, FSoftargmaxCategorical
from agents.geometry.divergences import KL, Tsallis
from agents.policies import make_head
from agents.policies.heads import HEADS, CategoricalHead
from agents.policies.names import class_from_name

DISCRETE, BOX = spaces.Discrete(3), spaces.Box(-1, 1, (2,))


def test_defaults_are_those_of_sb3() -> None:
    discrete = make_head(None, DISCRETE)(torch.zeros(4, 3))
    gaussian = make_head(None, BOX)(torch.zeros(4, 4))
    assert isinstance(discrete, FSoftargmaxCategorical) and discrete.divergence == KL()
    assert isinstance(gaussian, DiagonalGaussian)
    assert make_head("tsallis:0.5", DISCRETE)(torch.zeros(4, 3)).divergence == Tsallis(0.5)  # type: ignore[attr-defined]


def test_sizes() -> None:
    assert (make_head(None, DISCRETE).net_size, make_head(None, DISCRETE).param_size) == (3, 3)
    assert (make_head(None, BOX).net_size, make_head(None, BOX).param_size) == (2, 4)


def test_the_old_policy_is_rebuilt_exactly_from_stored_parameters() -> None:
    for space, head in ((spaces.Discrete(2), "tsallis:0.5"), (BOX, None)):
        made = make_head(head, space)
        parameters = torch.randn(16, made.param_size)
        stored = torch.as_tensor(parameters.numpy().copy())
        assert torch.equal(kl_divergence(made(parameters), made(stored)), torch.zeros(16))


@pytest.mark.parametrize(
    ("head", "space", "message"),
    [
        ("softmx", DISCRETE, "unknown head, did you mean 'softmax'"),
        ("tsallis", DISCRETE, r"alpha must be a number"),
        ("tsallis:x", DISCRETE, r"alpha must be a number"),
        ("tsallis:0", DISCRETE, r"alpha must be a number"),
        ("tsallis:-1", DISCRETE, r"alpha must be a number"),
        ("tsallis:0.5", BOX, "needs a Discrete action space"),
        ("gaussian", DISCRETE, "needs a Box action space"),
        ("softmax:2", DISCRETE, "takes no argument"),
        (None, spaces.Discrete(3, start=1), "must start at 0"),
    ],
)
def test_bad_heads(head: str | None, space: spaces.Space, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_head(head, space)


def test_bad_temperature_and_reference() -> None:
    with pytest.raises(ValueError, match="temperature"):
        make_head("softmax", DISCRETE, temperature=0)
    with pytest.raises(ValueError, match="reference"):
        make_head("softmax", DISCRETE, reference=[0.5, 0.5])
    with pytest.raises(ValueError, match="reference"):
        make_head("softmax", DISCRETE, reference=[0.5, 0.6, 0.2])
    with pytest.raises(ValueError, match="temperature"):
        make_head("gaussian", BOX, temperature=2.0)


def test_a_users_own_head() -> None:
    def build(argument, action_space, temperature, reference):  # type: ignore[no-untyped-def]
        return CategoricalHead("mine", int(action_space.n), Tsallis(float(argument)))

    agents.register_head("mine", build)
    try:
        model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu", policy_kwargs={"head": "mine:0.3"})
        assert model.policy.head.name == "mine"
        with pytest.raises(ValueError, match="'mine' is registered already"):
            agents.register_head("mine", build)
    finally:
        del HEADS["mine"]


def test_classes_by_name() -> None:
    assert class_from_name("activation_fn", "nn.ReLU") is torch.nn.ReLU
    assert class_from_name("activation_fn", "tanh") is torch.nn.Tanh
    assert class_from_name("optimizer_class", torch.optim.SGD) is torch.optim.SGD
    with pytest.raises(ValueError, match="activation_fn='Rely': unknown, did you mean 'ReLU'"):
        class_from_name("activation_fn", "Rely")


def test_a_cnn_needs_images() -> None:
    with pytest.raises(ValueError, match="CnnPolicy needs image observations"):
        PPO("CnnPolicy", "CartPole-v1", device="cpu")


def test_non_finite_network_output_is_refused() -> None:
    policy = PPO("MlpPolicy", "CartPole-v1", device="cpu").policy
    with pytest.raises(FloatingPointError, match="not finite"):
        policy.act(torch.full((2, 4), float("nan")))
