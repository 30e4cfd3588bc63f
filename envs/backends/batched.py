"""N environments inside one object: SB3's interface to it, and the statistics of their episodes in arrays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from ..recorder import episode_record, open_monitor_file
from ..single import EnvOptions
from ..state import StatefulBatch
from .arrays import ArrayStepping


class EpisodeBook:
    """Clean returns and lengths of N running episodes; a record, and a line in a monitor file, for each that ends."""

    total_steps = 0  # of each environment, whatever the episodes

    def __init__(self, options: EnvOptions, n_envs: int) -> None:
        self.returns = np.zeros(n_envs)
        self._begun, self._oldest = np.zeros(n_envs, np.int64), 0  # total_steps when each, and the oldest, began
        self.records: dict[int, dict[str, Any]] = {}  # of the last step, by environment
        self._t_start = time.time()
        folder = options.monitor_dir
        paths = [Path(folder) / str(index) for index in range(n_envs)] if folder is not None else []
        self._writers = [open_monitor_file(path, options.spec.id, self._t_start) for path in paths]

    def restart(self) -> None:
        """All episodes begin; those under way are not recorded."""
        self.returns[:], self._begun[:], self._oldest = 0.0, self.total_steps, self.total_steps
        self.records = {}

    @property
    def lengths(self) -> np.ndarray:
        """Steps [N] of the running episodes."""
        return self.total_steps - self._begun

    @property
    def longest(self) -> int:
        """Steps of the longest running episode."""
        return self.total_steps - self._oldest

    def add(self, rewards: np.ndarray) -> None:
        """A step that paid `rewards` [N]."""
        self.returns += rewards
        self.count()

    def count(self) -> None:
        """A step whose rewards were added to `returns` already."""
        self.total_steps += 1
        if self.records:
            self.records = {}

    def finish(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Record the episodes of these rows [K]: their returns [K], lengths [K] and the rows."""
        returns, lengths = self.returns[rows], self.lengths[rows]
        for row, episode_return, length in zip(rows.tolist(), returns.tolist(), lengths.tolist(), strict=True):
            self.records[row] = self._record(row, episode_return, length)
        self.returns[rows], self._begun[rows] = 0.0, self.total_steps
        self._oldest = int(self._begun.min())
        return returns, lengths, rows

    def _record(self, row: int, episode_return: float, length: int) -> dict[str, Any]:
        record = episode_record(episode_return, length, self._t_start)
        if self._writers:
            self._writers[row].write_row(record)
        return record

    def infos(self) -> list[dict[str, Any]]:
        """A new info per environment, with `episode` where one ended in the last step."""
        return [{"episode": self.records[row]} if row in self.records else {} for row in range(len(self.returns))]

    def close(self) -> None:
        """Close the monitor files."""
        for writer in self._writers:
            writer.close()


class BatchedVecEnv(ArrayStepping, StatefulBatch):
    """A VecEnv around one object, `vector`, that steps all N environments; its attributes are those of every row.

    Args:
        vector: has `close`, and the attributes and methods that `get_attr`, `set_attr` and `env_method` reach.
        options: of one environment.
        n_envs: N.
        observation_space: of one environment.
        action_space: of one environment.
    """

    def __init__(
        self,
        vector: Any,
        options: EnvOptions,
        n_envs: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
    ) -> None:
        self.vector, self.options = vector, options
        super().__init__(n_envs, observation_space, action_space)
        self.book = EpisodeBook(options, n_envs)

    def _last_infos(self) -> list[dict[str, Any]]:
        return self.book.infos()

    def close(self) -> None:
        """Close the environments and their monitor files."""
        self.vector.close()
        self.book.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """An RGB image per environment."""
        return list(self.vector.render() or [])

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the vector environment, which all rows share."""
        return [getattr(self.vector, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set it for all rows. ValueError if only some are meant."""
        self._all_rows(indices)
        setattr(self.vector, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call a method of the vector environment once, for all rows. ValueError if only some are meant."""
        self._all_rows(indices)
        method: Callable[..., Any] = getattr(self.vector, method_name)
        return [method(*args, **kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """True for SB3's Monitor: episodes are recorded, free of noise."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]

    def _all_rows(self, indices: VecEnvIndices) -> None:
        if indices is not None and set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise ValueError(f"indices={indices!r}: these environments are one object, use backend='inprocess'")
