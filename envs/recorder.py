"""What an episode was worth, recorded inside everything that alters rewards or episode ends."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
from gymnasium.core import ActType, ObsType
from gymnasium.utils import RecordConstructorArgs
from stable_baselines3.common.monitor import Monitor, ResultsWriter

HISTORY = 1000


class EpisodeRecorder(Monitor[ObsType, ActType], RecordConstructorArgs):
    """An SB3 `Monitor` that sits inside noise, clipping and life loss, and whose memory is bounded.

    `info["episode"] = {"r": return, "l": length, "t": seconds}` at the end of each episode, as `Monitor` has it; being
    a `Monitor`, it keeps SB3 from adding its own around the noise. The lists that `Monitor` grows by one entry per
    episode keep the last 1000 here.
    """

    def __init__(self, env: gymnasium.Env[ObsType, ActType]) -> None:
        RecordConstructorArgs.__init__(self)
        Monitor.__init__(self, env)
        self.episode_returns = deque(maxlen=HISTORY)  # type: ignore[assignment]
        self.episode_lengths = deque(maxlen=HISTORY)  # type: ignore[assignment]
        self.episode_times = deque(maxlen=HISTORY)  # type: ignore[assignment]
        self._return, self._length = 0.0, 0

    def write_to(self, path: str | Path) -> None:
        """Write a line per episode to `<path>.monitor.csv` from now on."""
        self.results_writer = open_monitor_file(path, self.spec.id if self.spec else None, self.t_start)

    def reset(self, **kwargs: Any) -> tuple[ObsType, dict[str, Any]]:
        """Start an episode; one that was under way is not recorded."""
        self._return, self._length = 0.0, 0
        self.needs_reset = False
        return self.env.reset(**kwargs)

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and at the end of the episode put its record into info. RuntimeError when a reset is due."""
        if self.needs_reset:
            raise RuntimeError("Tried to step environment that needs reset")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._return += float(reward)
        self._length += 1
        self.total_steps += 1
        if terminated or truncated:
            self.needs_reset = True
            info["episode"] = self.record(self._return, self._length)
        return observation, reward, terminated, truncated, info

    def record(self, episode_return: float, length: int) -> dict[str, Any]:
        """Take down an episode: what `info["episode"]` says of it."""
        record = episode_record(episode_return, length, self.t_start)
        self.episode_returns.append(episode_return)
        self.episode_lengths.append(length)
        self.episode_times.append(record["t"])
        if self.results_writer is not None:
            self.results_writer.write_row(record)
        return record


def episode_record(episode_return: float, length: int, t_start: float) -> dict[str, Any]:
    """The `info["episode"]` of SB3: return, length in steps, seconds since t_start."""
    return {"r": round(float(episode_return), 6), "l": int(length), "t": round(time.time() - t_start, 6)}


def open_monitor_file(path: str | Path, env_id: str | None, t_start: float) -> ResultsWriter:
    """SB3's writer of `<path>.monitor.csv`: a JSON header line, then r,l,t per episode."""
    return ResultsWriter(str(path), header={"t_start": t_start, "env_id": str(env_id)})
