"""Mean, spread and interval of evaluation returns; the numbers behind the learning curve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiment.learning_curve import draw_learning_curve, moving_mean, read_monitors
from experiment.scores import Score, to_json

MONITOR = '#{"t_start": 0.0, "env_id": "E-v1"}\nr,l,t\n'


def test_the_interval_is_students() -> None:
    score = Score([1.0, 2.0, 3.0, 4.0], [10, 10, 10, 10])
    low, high = score.interval or (0.0, 0.0)
    assert score.mean == 2.5
    assert score.std == pytest.approx(1.2909944)
    assert high - 2.5 == pytest.approx(3.1824463 * 1.2909944 / 2)  # t(0.975, 3), tabulated
    assert low == pytest.approx(5.0 - high)


def test_one_episode_has_no_interval() -> None:
    score = Score([7.0], [3])
    assert score.interval is None and score.std == 0.0
    assert json.loads(to_json(score.to_dict()))["ci95"] is None
    assert "interval" not in str(score)


def test_monitors_of_all_environments_are_merged_by_time_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "0.monitor.csv").write_text(MONITOR + "1.0,10,1.0\n3.0,30,3.0\n")
    (tmp_path / "1.monitor.csv").write_text(MONITOR + "2.0,20,2.0\n40")
    (tmp_path / "2.monitor.csv").write_text("#{")
    steps, returns = read_monitors(tmp_path.glob("*.monitor.csv"))
    np.testing.assert_array_equal(steps, [10, 30, 60])
    np.testing.assert_array_equal(returns, [1, 2, 3])


def test_moving_mean() -> None:
    np.testing.assert_allclose(moving_mean(np.array([1.0, 3.0, 5.0]), 2), [2.0, 4.0])


def test_the_picture_needs_an_episode_or_an_evaluation(tmp_path: Path) -> None:
    assert draw_learning_curve(tmp_path, "t") is None
    (tmp_path / "0.monitor.csv").write_text(MONITOR + "1.0,10,1.0\n")
    np.savez(tmp_path / "evaluations.npz", timesteps=[10, 20], results=[[1.0, 2.0], [3.0, 5.0]])
    path = draw_learning_curve(tmp_path, "t")
    assert path is not None and path.read_bytes().startswith(b"\x89PNG")
