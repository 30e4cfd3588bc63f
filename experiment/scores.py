"""Episode returns as a score: mean, spread, and an interval for the mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Score:
    """Returns [K] and lengths [K] of evaluation episodes."""

    returns: list[float]
    lengths: list[int]

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Standard deviation over episodes, ddof 1 (0 for one episode)."""
        return float(np.std(self.returns, ddof=1)) if len(self.returns) > 1 else 0.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean over episodes of this agent, Student t with K - 1 degrees; None for one episode."""
        if len(self.returns) < 2:
            return None
        from scipy.special import stdtrit  # the quantile of Student's t, without the seconds of scipy.stats

        half = float(stdtrit(len(self.returns) - 1, 0.975)) * self.std / len(self.returns) ** 0.5
        return self.mean - half, self.mean + half

    def to_dict(self) -> dict[str, Any]:
        """Figures and episodes, as plain values."""
        figures = {
            "mean": self.mean,
            "std": self.std,
            "ci95": self.interval,
            "mean_length": float(np.mean(self.lengths)),
        }
        return figures | {"episodes": len(self.returns)} | asdict(self)

    def __str__(self) -> str:
        interval = "" if self.interval is None else f", 95 % interval [{self.interval[0]:.2f}, {self.interval[1]:.2f}]"
        return (
            f"mean return {self.mean:.2f}, standard deviation {self.std:.2f}{interval} "
            f"over {len(self.returns)} episodes of {np.mean(self.lengths):.1f} steps on average"
        )


class MaskedAgent:
    """An agent that asks the environment which actions are valid before each prediction; all else is the agent's."""

    def __init__(self, model: Any, env: Any) -> None:
        self._model, self._env = model, env

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, observation: Any, **kwargs: Any) -> Any:
        """As the agent's, among the actions that `env.action_masks()` allows now."""
        from agents.training.masking import action_masks

        return self._model.predict(observation, action_masks=action_masks(self._env), **kwargs)


def with_masks(model: Any, env: Any) -> Any:
    """The agent, made to heed the masks of an environment that has any (sb3-contrib's `action_masks()`)."""
    return MaskedAgent(model, env) if env.has_attr("action_masks") else model


def score(
    model: Any, env: Any, n_episodes: int, deterministic: bool, callback: Callable[[dict, dict], None] | None = None
) -> Score:
    """Run the agent for whole episodes, on returns as the environment itself defines them (no noise, no normalisation).

    Raises:
        FloatingPointError: if a return is not finite.
    """
    from stable_baselines3.common.evaluation import evaluate_policy

    returns, lengths = evaluate_policy(
        with_masks(model, env),
        env,
        n_episodes,
        deterministic,
        return_episode_rewards=True,
        callback=callback,
        warn=False,
    )
    assert isinstance(returns, list) and isinstance(lengths, list)
    if not np.isfinite(returns).all():
        raise FloatingPointError("an evaluation return is not finite")
    return Score([float(r) for r in returns], [int(n) for n in lengths])


def to_json(values: dict[str, Any]) -> str:
    """Readable JSON without NaN."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"
