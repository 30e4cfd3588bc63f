"""CliffWalking and FrozenLake: Gymnasium's tables as arrays, and linear features of their cells.

The log-linear experiments of SPMA (arXiv 2411.12042) are on a cliff world and a frozen lake with features of dimension
d. Tile coding with 5 tilings of tiles 3 cells wide and a hash table of d entries per (state, action) is how the same
group coded its earlier ones (arXiv 2305.15249, which has its own 21-state cliff world and tiles the state's number;
here cells are tiled in the plane). The grids are Gymnasium's: 4 x 12 and 4 x 4 or 8 x 8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import MAPS, FrozenLakeEnv

from . import checks
from .tabular import TabularArrays

KINDS = ("tiles", "random")


def cliff_walking_arrays(is_slippery: bool = False) -> TabularArrays:
    """Gymnasium's CliffWalking: P [48, 4, 48], r [48, 4], rho [48], state 12 row + column; the goal, 47, is absorbing.

    Actions are up, right, down, left. The ten cells of the cliff are states that no walk enters.
    """
    return _arrays_of(CliffWalkingEnv(is_slippery=is_slippery))


def frozen_lake_arrays(map_name: str = "4x4", is_slippery: bool = True) -> TabularArrays:
    """Gymnasium's FrozenLake on an R x C map: P [S, 4, S], r [S, 4], rho [S], S = R C, state C row + column.

    Actions are left, down, right, up; on slippery ice each neighbouring direction is as likely as the one chosen. Holes
    and the goal are absorbing at reward 0; 1 is paid on the step into the goal, so r holds the chance of that.

    Raises:
        ValueError: an unknown map.
    """
    return _arrays_of(FrozenLakeEnv(map_name=checks.one_of("map_name", map_name, MAPS), is_slippery=is_slippery))


def _arrays_of(env: CliffWalkingEnv | FrozenLakeEnv) -> TabularArrays:
    """Expectation over Gymnasium's table {state: {action: [(probability, next state, reward, terminated)]}}."""
    table: dict[int, dict[int, list[tuple[float, int, float, bool]]]] = env.P
    n_states, n_actions = len(table), len(table[0])
    P, r = np.zeros((n_states, n_actions, n_states)), np.zeros((n_states, n_actions))
    terminal = np.zeros(n_states, bool)
    for state, outcomes_of in table.items():
        for action, outcomes in outcomes_of.items():
            for probability, successor, reward, terminated in outcomes:
                P[state, action, successor] += probability
                r[state, action] += probability * reward
                terminal[successor] |= terminated
    P[terminal], r[terminal] = np.eye(n_states)[terminal][:, None, :], 0.0
    P /= P.sum(axis=-1, keepdims=True)  # Gymnasium's thirds do not add up to 1 to the last bit
    return TabularArrays(P, r, np.array(env.initial_state_distrib, np.float64))


def tile_features(
    shape: tuple[int, int], dim: int, n_actions: int | None = None, tilings: int = 5, tile: int = 3, seed: int = 0
) -> np.ndarray:
    """Tile coding of a grid into `dim` features: [S, dim], or with actions [S, A, dim]; each row has sum `tilings`.

    Tiling k lays tiles of tile x tile cells over the grid, displaced by k (tile / tilings) rows and 3 times as many
    columns; each tile (of each action) is one feature. Where `dim` is too small for all of them, tiles in excess are
    hashed: they share the feature of another one, drawn at random once. Source: Sutton & Barto, 2nd edition, 9.5.4.

    All tiles of states alone are 46 on 4 x 12 (of rank 33), 20 on 4 x 4 (rank 12), 51 on 8 x 8 (rank 39), and A times
    as many with actions: cells are told apart, but not every function of the cell is linear in the features.

    Args:
        shape: rows and columns of the grid.
        dim: d, the number of features.
        n_actions: A; None for features of states alone.
        tilings: how many.
        tile: side of a tile in cells.
        seed: of the hashing.

    Raises:
        ValueError: a number that is not a whole one >= 1.
    """
    for name, value in {"dim": dim, "tilings": tilings, "tile": tile}.items():
        checks.integer(name, value, 1)
    row, column = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    index: dict[tuple[int, ...], int] = {}
    rng = np.random.default_rng(seed)
    features = np.zeros((len(row), n_actions or 1, dim))
    for action in range(n_actions or 1):
        for k in range(tilings):
            rows = (row + k * tile / tilings) // tile
            columns = (column + 3 * k * tile / tilings) // tile
            for state, cell in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
                key = (action, k, *cell)
                if key not in index:
                    index[key] = len(index) if len(index) < dim else int(rng.integers(dim))
                features[state, action, index[key]] += 1.0
    return features if n_actions else features[:, 0]


def random_features(shape: tuple[int, int], dim: int, n_actions: int | None = None, seed: int = 0) -> np.ndarray:
    """Independent N(0, 1/dim) features [S, dim], or with actions [S, A, dim]: no structure at all, rows of norm near 1.

    Raises:
        ValueError: dim is not a whole number >= 1.
    """
    checks.integer("dim", dim, 1)
    features = np.random.default_rng(seed).standard_normal((shape[0] * shape[1], n_actions or 1, dim)) / np.sqrt(dim)
    return features if n_actions else features[:, 0]


class _FeatureObservations:
    """Features [D] float32 in place of the number of the cell; mixed in front of a Gymnasium grid world."""

    features: np.ndarray  # [S, D] float32
    observation_space: Any

    def observe_features(self, shape: tuple[int, int], dim: int, kind: str, seed: int) -> None:
        """Draw up the features."""
        make = tile_features if checks.one_of("features", kind, KINDS) == "tiles" else random_features
        self.features = make(shape, dim, seed=checks.integer("features_seed", seed, 0)).astype(np.float32)
        self.observation_space = spaces.Box(-np.inf, np.inf, (dim,), np.float32)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        state, info = super().reset(**kwargs)  # type: ignore[misc]
        return self.features[state].copy(), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step as the grid world does."""
        state, reward, terminated, truncated, info = super().step(action)  # type: ignore[misc]
        return self.features[state].copy(), float(reward), terminated, truncated, info


class CliffWalkingFeaturesEnv(_FeatureObservations, CliffWalkingEnv):
    """Gymnasium's CliffWalking observed through linear features of its 48 cells.

    Args:
        dim: number of features; 46 hold all tiles without hashing.
        features: "tiles" (`tile_features`) or "random" (`random_features`).
        features_seed: of the random features, or of the hashing of tiles.
        is_slippery: CliffWalking's own.
        render_mode: CliffWalking's own.

    Raises:
        ValueError: dim or features_seed out of range, or an unknown kind of features.
    """

    def __init__(
        self,
        dim: int = 46,
        features: str = "tiles",
        features_seed: int = 0,
        is_slippery: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode=render_mode, is_slippery=is_slippery)
        self.observe_features((4, 12), dim, features, features_seed)


class FrozenLakeFeaturesEnv(_FeatureObservations, FrozenLakeEnv):
    """Gymnasium's FrozenLake observed through linear features of its cells.

    Args:
        dim: number of features; 20 hold all tiles of the 4 x 4 map without hashing, 51 those of the 8 x 8 one.
        features: "tiles" (`tile_features`) or "random" (`random_features`).
        features_seed: of the random features, or of the hashing of tiles.
        map_name: "4x4" or "8x8".
        is_slippery: FrozenLake's own.
        render_mode: FrozenLake's own.

    Raises:
        ValueError: dim or features_seed out of range, or an unknown kind of features or map.
    """

    def __init__(
        self,
        dim: int = 20,
        features: str = "tiles",
        features_seed: int = 0,
        map_name: str = "4x4",
        is_slippery: bool = True,
        render_mode: str | None = None,
    ) -> None:
        checks.one_of("map_name", map_name, MAPS)
        super().__init__(render_mode=render_mode, map_name=map_name, is_slippery=is_slippery)
        self.observe_features((self.nrow, self.ncol), dim, features, features_seed)
