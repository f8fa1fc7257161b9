"""Data sets that are learned in no time, as files, and a question about a task."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from heedful.explaining.question import Question
from heedful.tasks.catalog import find_task, parse_config
from heedful.testing.questions import check_question
from heedful.training.start import build


class Asked(NamedTuple):
    """A question about the first test example of a task, and what it is about."""

    task: Any
    model: torch.nn.Module
    example: Any
    question: Question


@pytest.fixture(scope="session")
def ask() -> Callable[..., Asked]:
    """Ask a fresh model of a task, given by name and config tables, why it answers what it does."""

    def first(name: str, **tables: Any) -> Asked:
        torch.manual_seed(1)
        config = parse_config({"task": name, **tables})
        kind = find_task(name)
        splits = kind.read(config)
        task = kind.fit(config, splits.train)
        model, example = build(task).eval(), splits.test[0]
        (answer,) = task.answer(model, task.encode([example]))
        question = task.question(model, example, answer)
        check_question(question, model)
        return Asked(task, model, example, question)

    return first


@pytest.fixture(scope="session")
def square_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Sixty images of 8 x 8 pixels, bright in one of four corners: a `data` section."""
    folder, draw = tmp_path_factory.mktemp("squares"), np.random.default_rng(0)
    pixels, labels = draw.integers(0, 90, (60, 8, 8), np.uint8), np.arange(60, dtype=np.uint8) % 4
    for image, label in zip(pixels, labels.tolist(), strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 150
    paths: dict[str, Path] = {"train": folder / "images", "train_labels": folder / "labels"}
    for path, array in zip(paths.values(), (pixels, labels), strict=True):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        path.write_bytes(head + array.tobytes())
    return {"name": "idx", **{name: str(path) for name, path in paths.items()}}
