"""docs/environments.md names the ids and arguments that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import envs
from envs.noise import NOISE_ARGUMENTS
from envs.registration import OUR_IDS
from experiment.flags import train_parser

PAGE = (Path(envs.__file__).parents[1] / "docs" / "environments.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([\w<>]+-v\d)` \| ([^|]*)", PAGE, flags=re.MULTILINE))


def test_every_id_of_ours_has_a_row() -> None:
    assert set(ROWS) - {"Probe<Kind><Space>-v0"} == {env_id for env_id in OUR_IDS if not env_id.startswith("Probe")}


@pytest.mark.parametrize("env_id", [env_id for env_id in ROWS if "<" not in env_id])
def test_arguments_exist(env_id: str) -> None:
    names = re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", ROWS[env_id]))  # values stand in parentheses
    assert names
    envs.check_env_kwargs(env_id, dict.fromkeys(names))


def test_noise_flags_and_backends_exist() -> None:
    flags = {flag for action in train_parser()._actions for flag in action.option_strings}
    for argument in NOISE_ARGUMENTS:
        flag = f"--{argument.replace('_', '-')}"
        assert flag in flags
        assert re.search(rf"^\| `{flag} .*\| `{argument}` \|", PAGE, flags=re.MULTILINE)
    assert all(f"`{name}`" in PAGE for name in envs.BACKENDS)
