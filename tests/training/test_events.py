"""TensorBoard events in one piece per dump say what SB3's format says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import PPO
from agents.training import events
from agents.training.events import Events, flush_events, use_cheap_events


def dump(output: TensorBoardOutputFormat) -> None:
    logger = Logger(None, [output])
    for step in (10, 20):
        logger.record("train/loss", np.float32(0.5 * step))
        logger.record("train/count", step)
        logger.record("train/hidden", 1.0, exclude="tensorboard")
        logger.record("train/text", "words")
        logger.dump(step)
    logger.close()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_the_same_numbers_and_texts_as_sb3(tmp_path: Path) -> None:
    dump(TensorBoardOutputFormat(str(tmp_path / "sb3")))
    dump(Events(str(tmp_path / "ours")))
    assert scalars(tmp_path / "ours") == scalars(tmp_path / "sb3") != {}
    tags = [EventAccumulator(str(tmp_path / name)).Reload().Tags()["tensors"] for name in ("ours", "sb3")]
    assert tags[0] == tags[1] != []


def test_learning_uses_them_and_leaves_nothing_unwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FLUSH_SECONDS", 1e9)
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, tensorboard_log=str(tmp_path), device="cpu")
    model.learn(96)
    assert sum(isinstance(output, Events) for output in model.logger.output_formats) == 1
    (folder,) = tmp_path.iterdir()
    assert [step for step, _ in scalars(folder)["train/loss"]] == [64, 96]  # each with the next rollout


def test_a_users_own_format_stays(tmp_path: Path) -> None:
    class Own(TensorBoardOutputFormat):
        pass

    own, theirs = Own(str(tmp_path / "own")), TensorBoardOutputFormat(str(tmp_path / "theirs"))
    logger = Logger(None, [own, theirs])
    use_cheap_events(logger)
    assert logger.output_formats[0] is own
    assert isinstance(logger.output_formats[1], Events)
    assert logger.output_formats[1].writer is theirs.writer
    logger.close()
    flush_events(logger)  # closed: nothing to do
