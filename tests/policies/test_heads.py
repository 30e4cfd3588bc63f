"""Heads by name: what they build, what they refuse, and a user's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.distributions import kl_divergence

import agents
from agents import PPO
from agents.distributions import DiagonalGaussian, FSoftargmaxCategorical
from agents.geometry.divergences import KL, Tsallis
from agents.policies import CategoricalHead, make_head
from agents.policies.heads import HEADS
from agents.policies.names import class_from_name

DISCRETE, BOX = spaces.Discrete(3), spaces.Box(-1, 1, (2,))
MULTI, BINARY = spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(4)
CATEGORICAL = ("softmax", "tsallis:0.5", "tsallis:1.5", "reverse_kl", "js", "chi2", "hellinger")


def test_defaults_are_those_of_sb3() -> None:
    discrete = make_head(None, DISCRETE)(torch.zeros(4, 3))
    gaussian = make_head(None, BOX)(torch.zeros(4, 4))
    assert isinstance(discrete, FSoftargmaxCategorical) and discrete.divergence == KL()
    assert isinstance(gaussian, DiagonalGaussian)
    assert make_head("tsallis:0.5", DISCRETE)(torch.zeros(4, 3)).divergence == Tsallis(0.5)  # type: ignore[attr-defined]


EVERY_HEAD = [
    *[(name, space) for space in (DISCRETE, MULTI, BINARY) for name in CATEGORICAL],
    *[
        (name, BOX)
        for name in ("gaussian", "q_gaussian:0.5", "q_gaussian:1.5", "binned:7", "binned:7,ordinal/tsallis:0.5")
    ],
]


@pytest.mark.parametrize(
    ("head", "space", "sizes"),
    [
        (None, DISCRETE, (3, 3)),
        ("js", MULTI, (5, 5)),
        (None, BINARY, (4, 4)),
        (None, BOX, (2, 4)),
        ("q_gaussian:0.5", BOX, (2, 4)),
        ("binned:7/tsallis:0.5", BOX, (14, 14)),
    ],
)
def test_sizes(head: str | None, space: spaces.Space, sizes: tuple[int, int]) -> None:
    made = make_head(head, space)
    assert (made.net_size, made.param_size) == sizes


@pytest.mark.parametrize(("head", "space"), EVERY_HEAD)
def test_every_head_samples_valid_actions_with_finite_log_probability(head: str, space: spaces.Space) -> None:
    made = make_head(head, space)
    policy = made(torch.randn(200, made.param_size))
    actions = policy.sample()
    assert actions.shape == (200, *(space.shape or ()))
    if not head.startswith(("gaussian", "q_gaussian")):
        assert all(space.contains(a) for a in actions.numpy().astype(space.dtype))
    assert policy.log_prob(actions).isfinite().all()
    assert policy.mode.shape == actions.shape  # type: ignore[attr-defined]
    assert policy.entropy().shape == (200,)


def test_multi_binary_softmax_is_a_sigmoid() -> None:
    z = torch.randn(50, 4)
    actions = torch.randint(2, (50, 4))
    expected = torch.distributions.Bernoulli(logits=z).log_prob(actions.float()).sum(-1)
    torch.testing.assert_close(make_head(None, BINARY)(z).log_prob(actions), expected)


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
        ("tsallis", DISCRETE, "head='tsallis': .*expected a number"),
        ("tsallis:x", DISCRETE, "head='tsallis:x': .*expected a number"),
        ("tsallis:0", DISCRETE, "head='tsallis:0': .*alpha"),
        ("tsallis:-1", DISCRETE, "head='tsallis:-1': .*alpha"),
        ("tsallis:0.5", BOX, "needs a Discrete action space.*binned:11/tsallis:0.5"),
        ("js:2", DISCRETE, "takes no argument"),
        ("q_gaussian", BOX, "alpha must be a positive number"),
        ("q_gaussian:-1", BOX, "alpha must be a positive number"),
        ("q_gaussian:0.5", DISCRETE, "needs a Box action space"),
        ("binned", BOX, "the form is"),
        ("binned:1", BOX, "the form is"),
        ("binned:5,odd", BOX, "the form is"),
        ("binned:5/tsalis:0.5", BOX, "did you mean 'tsallis'"),
        ("binned:5", DISCRETE, "needs a Box action space"),
        ("binned:5", spaces.Box(-np.inf, np.inf, (2,)), "needs finite bounds"),
        ("softmax", spaces.MultiDiscrete(np.array([[2, 3], [2, 2]])), "one-dimensional"),
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
