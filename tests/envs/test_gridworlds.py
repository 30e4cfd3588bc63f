"""Grid worlds: arrays that say what Gymnasium's environments do, and features that tell cells apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs import make_vec
from envs.gridworlds import cliff_walking_arrays, frozen_lake_arrays, random_features, tile_features
from envs.tabular import TabularArrays

WORLDS: dict[str, tuple[str, dict[str, Any], Callable[[], TabularArrays]]] = {
    "cliff": ("CliffWalking-v1", {}, cliff_walking_arrays),
    "slippery cliff": ("CliffWalking-v1", {"is_slippery": True}, lambda: cliff_walking_arrays(True)),
    "lake": ("FrozenLake-v1", {}, frozen_lake_arrays),
    "frozen lake without slips": (
        "FrozenLake-v1",
        {"is_slippery": False},
        lambda: frozen_lake_arrays(is_slippery=False),
    ),
    "large lake": ("FrozenLake-v1", {"map_name": "8x8"}, lambda: frozen_lake_arrays("8x8")),
}


def optimal_values(arrays: TabularArrays, gamma: float, sweeps: int) -> np.ndarray:
    """By value iteration from zero."""
    values = np.zeros(len(arrays.rho))
    for _ in range(sweeps):
        values = (arrays.r + gamma * arrays.P @ values).max(axis=1)
    return values


@pytest.mark.parametrize("name", WORLDS)
def test_arrays_are_distributions_with_absorbing_ends(name: str) -> None:
    P, r, rho = WORLDS[name][2]()
    assert P.shape == (len(rho), 4, len(rho)) and r.shape == (len(rho), 4)
    assert (P >= 0).all()
    np.testing.assert_allclose(P.sum(-1), 1.0, atol=1e-15)
    assert rho.sum() == 1.0
    absorbing = np.flatnonzero((P[np.arange(len(rho)), :, np.arange(len(rho))] == 1.0).all(-1))
    assert len(absorbing) == {"cliff": 1, "slippery cliff": 1, "large lake": 11}.get(name, 5)
    assert (r[absorbing] == 0).all()


@pytest.mark.parametrize("name", WORLDS)
def test_environments_do_what_the_arrays_say(name: str) -> None:
    env_id, kwargs, arrays_of = WORLDS[name]
    arrays, env = arrays_of(), gymnasium.make(env_id, **kwargs)
    n_states = len(arrays.rho)
    state, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    counts, paid = np.zeros((n_states, 4, n_states)), np.zeros((n_states, 4))
    for _ in range(20_000):
        action = int(rng.integers(4))
        successor, reward, terminated, truncated, _ = env.step(action)
        counts[state, action, successor] += 1
        paid[state, action] += reward
        assert terminated <= (arrays.P[successor, :, successor] == 1.0).all()
        state = env.reset()[0] if terminated or truncated else successor
    visits = counts.sum(-1)
    assert (arrays.P[counts > 0] > 0).all()  # nothing that the arrays exclude ever happened
    often = visits > 200
    assert often.sum() > 8
    error = 5 / np.sqrt(visits[often])  # five standard errors of a frequency, at most
    assert (np.abs(counts[often] / visits[often][:, None] - arrays.P[often]) <= error[:, None]).all()
    spread = np.ptp(arrays.r)
    assert (np.abs(paid[often] / visits[often] - arrays.r[often]) <= spread * error).all()


def test_known_optimal_values() -> None:
    assert optimal_values(cliff_walking_arrays(), 1.0, 100)[36] == -13
    assert optimal_values(frozen_lake_arrays(is_slippery=False), 0.9, 100)[0] == pytest.approx(0.9**5)
    assert optimal_values(frozen_lake_arrays(), 1.0, 5000)[0] == pytest.approx(14 / 17, abs=1e-6)


def test_unknown_map() -> None:
    with pytest.raises(ValueError, match="map_name='4x5': unknown, did you mean '4x4'"):
        frozen_lake_arrays("4x5")


@pytest.mark.parametrize(("shape", "tiles", "rank"), [((4, 12), 46, 33), ((4, 4), 20, 12), ((8, 8), 51, 39)])
def test_tiles_without_hashing(shape: tuple[int, int], tiles: int, rank: int) -> None:
    features = tile_features(shape, tiles)
    assert features.shape == (shape[0] * shape[1], tiles)
    assert set(np.unique(features)) == {0.0, 1.0}
    assert (features.sum(-1) == 5).all() and (features.sum(0) > 0).all()
    assert len(np.unique(features, axis=0)) == len(features)
    assert np.linalg.matrix_rank(features) == rank
    overlap = features @ features.T
    assert overlap[0, 1] > overlap[0, 2] > overlap[0, 3] == 0  # near cells share tiles, cells further than one don't
    of_actions = tile_features(shape, 4 * tiles, 4)
    np.testing.assert_array_equal(of_actions[:, 2, 2 * tiles : 3 * tiles], features)
    assert of_actions[:, 2].sum() == features.sum()


@pytest.mark.parametrize("make", [tile_features, random_features])
def test_features_have_the_dimension_asked_for_and_depend_on_the_seed_alone(make: Any) -> None:
    features = make((4, 12), 17, 4, seed=3)
    assert features.shape == (48, 4, 17)
    np.testing.assert_array_equal(features, make((4, 12), 17, 4, seed=3))
    assert not np.array_equal(features, make((4, 12), 17, 4, seed=4))
    assert make((4, 12), 17).shape == (48, 17)


def test_hashed_tiles_share_features() -> None:
    features = tile_features((4, 12), 20, 4)
    assert (features.sum(-1) == 5).all()
    assert (features.sum((0, 1)) > 0).all()


@pytest.mark.parametrize("env_id", ["CliffWalkingFeatures-v0", "FrozenLakeFeatures-v0"])
@pytest.mark.parametrize("kind", ["tiles", "random"])
def test_feature_observations_are_those_of_gymnasiums_cells(env_id: str, kind: str) -> None:
    env = gymnasium.make(env_id, dim=15, features=kind, features_seed=2)
    plain = gymnasium.make(env_id.replace("Features-v0", "-v1"), max_episode_steps=env.spec.max_episode_steps)  # type: ignore[union-attr]
    make = tile_features if kind == "tiles" else random_features
    features = make((4, 12) if "Cliff" in env_id else (4, 4), 15, seed=2).astype(np.float32)
    observation, cell = env.reset(seed=1)[0], plain.reset(seed=1)[0]
    rng = np.random.default_rng(0)
    for _ in range(500):
        np.testing.assert_array_equal(observation, features[cell])
        assert observation in env.observation_space
        action = int(rng.integers(4))
        step, expected = env.step(action), plain.step(action)
        observation, cell = step[0], expected[0]
        assert step[1:4] == expected[1:4]
        if step[2] or step[3]:
            observation, cell = env.reset()[0], plain.reset()[0]


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("CliffWalkingFeatures-v0", {"dim": 0}, "dim=0"),
        ("CliffWalkingFeatures-v0", {"features": "tile"}, "unknown, did you mean 'tiles'"),
        ("FrozenLakeFeatures-v0", {"features_seed": -1}, "features_seed=-1"),
        ("FrozenLakeFeatures-v0", {"map_name": "8x9"}, "did you mean '8x8'"),
    ],
)
def test_bad_arguments(env_id: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec(env_id, env_kwargs=kwargs)
