"""String ids of installed packages work without importing the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import importlib.metadata, sys
from agents import PPO
points = [p for p in importlib.metadata.entry_points(group="gymnasium.envs") if p.value == "envs:register_envs"]
if not points:  # a checkout that was not installed: offer what its setup.cfg declares
    point = importlib.metadata.EntryPoint("__root__", "envs:register_envs", "gymnasium.envs")
    sys.modules["agents.training.env_plugins"].entry_points = lambda group: [point]
model = PPO("MlpPolicy", "NoisyCartPole-v1", n_steps=64, device="cpu")
assert "envs" in sys.modules
print(model.env.envs[0].spec.id)
"""


def test_a_string_id_needs_no_import() -> None:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "NoisyCartPole-v1"


def test_setup_cfg_declares_the_entry_point() -> None:
    assert "__root__ = envs:register_envs" in (ROOT / "setup.cfg").read_text()
