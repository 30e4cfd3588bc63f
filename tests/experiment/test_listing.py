"""What the two lists say, and what composes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import agents
from experiment.listing import refusals

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("algo", "cell", "choice", "reason"),
    [
        ("ppo", ("Box", "q_gaussian:2"), {}, None),
        *((algo, ("Box", "q_gaussian:2"), {}, "supports are compact") for algo in ("spma", "mdpo", "trpo")),
        ("lco", ("Box", "gaussian"), {"match": "mse"}, "no scores"),
        ("lco", ("Box", "gaussian"), {"match": "log_cosh"}, "no scores"),
        ("lco", ("Box", "binned:2"), {"match": "mse"}, None),
        ("lco", ("Discrete", "tsallis:0.5"), {"advantage": "dense"}, None),
        ("lco", ("MultiDiscrete", "softmax"), {"advantage": "dense"}, "needs a Discrete action space"),
        ("reinforce", ("Box", "gaussian"), {"regularizer": "kl"}, "no uniform reference"),
        ("reinforce", ("Box", "gaussian"), {"regularizer": "kl", "reg_reference": "initial"}, None),
    ],
)
def test_what_composes(algo: str, cell: tuple[str, str], choice: dict[str, Any], reason: str | None) -> None:
    refused = refusals(agents.ALGORITHMS[algo], [cell], choice)
    if reason is None:
        assert not refused
    else:
        assert len(refused) == 1 and reason in refused[0][0] and refused[0][1] == (cell,)


def test_lists(train: Run, logs: Path) -> None:
    listed = train("--list-algos")
    assert listed.code == 0
    lines = [line.strip() for line in listed.out.splitlines()]
    assert {f"{name}:" for name in agents.ALGORITHMS} <= {line.split()[0] for line in lines}
    box = next(line for line in lines if line.startswith("Box "))
    assert box.split(maxsplit=1)[1] == "gaussian, q_gaussian:0.5, q_gaussian:2, binned:2"
    assert lines.count("step: adam, armijo, trust_region") == 3
    assert "form: kl, target" in lines and "match: kld" in lines
    ids = train("--list-envs").out.split()
    assert {"CartPole-v1", "NoisyCartPole-v1", "HalfCheetah-v5", "ALE/Pong-v5"} <= set(ids)
    assert not logs.exists()
