"""Where a result comes from: code version, package versions, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "stable-baselines3", "gymnasium", "numpy", "mujoco", "ale-py")
CHECKOUT = Path(__file__).resolve().parent.parent


def provenance() -> dict[str, Any]:
    """Git commit, versions and platform as plain values; torch's kernels too, since they decide the last bits."""
    import torch

    return {
        "git": git_state(CHECKOUT),
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}},
        "platform": {
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "torch_threads": torch.get_num_threads(),
        },
    }


def version_of(distribution: str) -> str | None:
    """Installed version, None if absent."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, Any]:
    """Commit hash and whether the checkout differs from it; None where there is no git or no repository."""

    def git(*command: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    status = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}
