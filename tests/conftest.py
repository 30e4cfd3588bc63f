"""Shared by all tests: one thread, fixed seeds, no display."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch

# No window, no sound; MuJoCo only steps here, so it needs no graphics library either.
HEADLESS = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "MUJOCO_GL": "disabled", "MPLBACKEND": "Agg"}


def pytest_configure() -> None:
    """Before any test module is imported; subprocesses of the tests inherit it."""
    os.environ.update(HEADLESS)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start each test from the same state of the global generators, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
