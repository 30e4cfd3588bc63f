"""The fast NatureCNN computes what SB3's does, from raw pixels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.torch_layers import NatureCNN

from agents.policies import CnnPolicy, MlpPolicy
from agents.policies.images import RawNatureCNN, acting, warn_of_slow_bf16

pytestmark = pytest.mark.filterwarnings("ignore:precision='bf16':UserWarning")
IMAGES = spaces.Box(0, 255, (4, 84, 84), np.uint8)


def pair(**options: object) -> tuple[NatureCNN, RawNatureCNN]:
    theirs, ours = NatureCNN(IMAGES), RawNatureCNN(IMAGES, **options)
    ours.load_state_dict(theirs.state_dict())  # the same names
    return theirs, ours


def pixels(n: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (n, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_features_and_gradients_are_those_of_sb3() -> None:
    theirs, ours = pair()
    images = pixels()
    expected, found = theirs(images.float() / 255), ours(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    expected.square().mean().backward()
    found.square().mean().backward()
    for (name, p), q in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        error = (p.grad - q.grad).abs().max() / p.grad.abs().max()
        assert error < 1e-4, name


def test_images_that_are_normalised_already_are_not_scaled() -> None:
    theirs, ours = pair()
    images = pixels().float() / 255
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-6)


def test_the_layout_of_an_image_does_not_matter() -> None:
    _, ours = pair()
    images = pixels()
    assert torch.equal(ours(images), ours(images.to(memory_format=torch.channels_last)))


def test_bfloat16_is_near_and_gives_float32_features_and_gradients() -> None:
    theirs, ours = pair(precision="bf16")
    images = pixels()
    expected, found = theirs(images.float() / 255), ours(images)
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.02 * expected.abs().max()
    found.sum().backward()
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in ours.parameters())


@pytest.mark.parametrize(("capability", "said"), [("AVX2", 1), ("AVX512", 0)])
def test_bfloat16_without_hardware_is_warned_of_once(
    capability: str, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    warn_of_slow_bf16.cache_clear()
    _, ours = pair(precision="bf16")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            ours(pixels(1))
    assert len([each for each in caught if "this CPU has no bfloat16" in str(each.message)]) == said


def test_second_derivatives_are_those_of_sb3() -> None:
    found = []
    for network, images in zip(pair(), (pixels(2).float() / 255, pixels(2)), strict=True):
        gradients = torch.autograd.grad(network(images).square().mean(), list(network.parameters()), create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in gradients), list(network.parameters())))
    for expected, ours in zip(*found, strict=True):
        assert (expected - ours).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_are_converted_once_while_acting(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conversions, converted = [], RawNatureCNN._converted

    def counted(network: RawNatureCNN, scale: float) -> list[torch.Tensor]:
        conversions.append(scale)
        return converted(network, scale)

    monkeypatch.setattr(RawNatureCNN, "_converted", counted)
    policy = CnnPolicy(IMAGES, spaces.Discrete(6), lambda _: 1e-2, precision=precision)
    images, values = pixels(), []
    start = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    with torch.no_grad():
        for _ in range(2):  # the weights change between rollouts
            with acting(policy):
                values += [policy.act(images)[2] for _ in range(3)]
                with torch.enable_grad():
                    policy.predict_values(images).sum().backward()
            policy.optimizer.step()
        with acting(policy):
            values.append(policy.act(images)[2])
            policy.load_state_dict(start)
            values.append(policy.act(images)[2])
    assert len(conversions) == 2 * 2 + 2
    assert torch.equal(values[0], values[2])
    assert not torch.equal(values[2], values[3])
    assert not torch.equal(values[5], values[6])
    assert torch.equal(values[7], values[0])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_layers_agree(precision: str) -> None:
    _, plain = pair(precision=precision)
    compiled = RawNatureCNN(IMAGES, precision=precision, compile=True)
    compiled.load_state_dict(plain.state_dict())
    images, tolerance = pixels(), {"fp32": 1e-5, "bf16": 2e-3}[precision]
    torch.testing.assert_close(compiled(images), plain(images), rtol=1e-5, atol=tolerance)
    for network in (plain, compiled):
        network(images).square().mean().backward()
    for p, q in zip(plain.parameters(), compiled.parameters(), strict=True):
        assert (p.grad - q.grad).abs().max() < 10 * tolerance * p.grad.abs().max()


def test_the_policy_starts_from_sb3s_weights_and_steps_with_fused_adam() -> None:
    policies = []
    for cls in (ActorCriticCnnPolicy, CnnPolicy):
        torch.manual_seed(0)
        policies.append(cls(IMAGES, spaces.Discrete(6), lambda _: 1e-3))
    theirs, ours = policies
    assert theirs.state_dict().keys() == ours.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))
    torch.testing.assert_close(ours.predict_values(pixels()), theirs.predict_values(pixels()), rtol=1e-5, atol=1e-6)
    assert ours.optimizer.defaults["fused"]
    assert ours.features_extractor.cnn[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_precision_is_checked() -> None:
    with pytest.raises(ValueError, match="precision='bf61'"):
        RawNatureCNN(IMAGES, precision="bf61")
    vector = spaces.Box(-1, 1, (3,), np.float32)
    with pytest.raises(ValueError, match=r"precision='bf16'.*CnnPolicy"):
        MlpPolicy(vector, spaces.Discrete(2), lambda _: 1e-3, precision="bf16")
