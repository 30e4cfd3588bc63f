"""Experiments are found by file name, and each is complete."""

from __future__ import annotations

import json

import pytest

from benchmark.theory import registry
from benchmark.theory.registry import Experiment, Finding, Outcome


@pytest.mark.parametrize("name", registry.names())
def test_every_experiment_can_be_loaded_and_says_what_it_is_about(name: str) -> None:
    experiment = registry.load(name)
    assert registry.subject(name).endswith((".", "?"))
    assert experiment.paper
    for full in (False, True):
        settings = experiment.settings(full)
        assert settings == json.loads(json.dumps(settings)), "settings must be what JSON gives back"
    assert experiment.settings(True) != experiment.settings(False)


def test_a_full_setting_must_have_a_reduced_one() -> None:
    with pytest.raises(ValueError, match="full: sedes: not a reduced setting"):
        Experiment("a paper", {"seeds": 1}, {"sedes": 2}, lambda settings, track: Outcome([], [], None)).settings(True)


@pytest.mark.parametrize("verdict", ["holds", "fails as stated", "holds under coef < 1"])
def test_the_three_verdicts(verdict: str) -> None:
    assert Finding("a claim", verdict, "numbers").verdict == verdict


def test_another_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="verdict='mostly true': must be 'holds'"):
        Finding("a claim", "mostly true", "numbers")
