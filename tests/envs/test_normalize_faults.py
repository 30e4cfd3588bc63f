"""Numbers that would spoil VecNormalize's statistics for good are refused, and what Dict observations need."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common import vec_env

from envs import VecNormalize, normalize
from envs.backends.inprocess import InProcessVecEnv


@pytest.fixture(params=["compiled", "numpy"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The step in one compiled call, and the step without Numba."""
    if request.param == "numpy":
        monkeypatch.setattr(normalize, "load_kernel", lambda *names: None)
    else:
        pytest.importorskip("numba")
    return request.param


def statistics(venv: vec_env.VecNormalize) -> list[Any]:
    return [getattr(rms, name) for rms in (venv.obs_rms, venv.ret_rms) for name in ("mean", "var", "count")]


class Faulty(gymnasium.Env[Any, Any]):
    """Says or pays something else than a finite number at its third step."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, observed: float = 0.0, paid: float = 0.0, by_key: bool = False, last: bool = False) -> None:
        box = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space: Any = gymnasium.spaces.Dict({"here": box}) if by_key else box
        self.observed, self.paid, self.by_key, self.last = observed, paid, by_key, last

    def _observe(self, value: float) -> Any:
        observation = np.full(2, value, np.float32)
        return {"here": observation} if self.by_key else observation

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(0.0), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        faulty = self.steps == 3
        observation = self._observe(self.observed if faulty else 0.5)
        return observation, self.paid if faulty else 1.0, False, faulty and self.last, {}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("what", "message"), [("observed", "observation of environment 1"), ("paid", "reward of environment 1")]
)
@pytest.mark.parametrize("by_arrays", [True, False])
@pytest.mark.parametrize("taken_over", [False, True])
def test_non_finite_numbers_are_refused_and_leave_no_trace(
    bad: float, what: str, message: str, by_arrays: bool, taken_over: bool, path: str
) -> None:
    venv = VecNormalize(InProcessVecEnv([Faulty, partial(Faulty, **{what: bad})]))
    if taken_over:
        theirs = vec_env.VecNormalize(InProcessVecEnv([Faulty, Faulty]))
        theirs.reset()
        vec_env.sync_envs_normalization(theirs, venv)
    venv.reset()
    step = venv.step_arrays if by_arrays else venv.step
    for _ in range(2):
        step(np.array([0, 0]))
    with pytest.raises(ValueError, match=f"{message} is not finite"):
        step(np.array([0, 0]))
    assert all(np.isfinite(value).all() for value in [*statistics(venv), venv.returns])


def test_dict_observations() -> None:
    members = [partial(Faulty, by_key=True), partial(Faulty, np.nan, by_key=True)]
    ours, theirs = VecNormalize(InProcessVecEnv(members)), vec_env.VecNormalize(InProcessVecEnv(members))
    for venv in (ours, theirs):
        venv.reset()
    for _ in range(2):
        observations = ours.step_arrays(np.array([0, 0])).observations
        expected = theirs.step(np.array([0, 0]))[0]
        assert isinstance(observations, dict) and isinstance(expected, dict)
        np.testing.assert_array_equal(observations["here"], expected["here"])
    with pytest.raises(ValueError, match="observation 'here' of environment 1 is not finite"):
        ours.step_arrays(np.array([0, 0]))


@pytest.mark.parametrize(("by_key", "name"), [(False, ""), (True, " 'here'")])
def test_a_last_observation_that_is_not_finite(by_key: bool, name: str) -> None:
    venv = VecNormalize(InProcessVecEnv([partial(Faulty, np.nan, 1.0, by_key, last=True)]))
    venv.reset()
    for _ in range(2):
        venv.step_arrays(np.array([0]))
    with pytest.raises(ValueError, match=f"last observation{name} of environment 0 is not finite"):
        venv.step_arrays(np.array([0]))
