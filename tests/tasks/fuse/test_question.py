"""Why something has its label: parts of image, sound and text."""

import pytest
import torch

from heedful.tasks.catalog import parse_config
from heedful.tasks.fuse.task import Fuse
from heedful.testing.questions import check_question
from heedful.training.start import build

pytest.importorskip("sklearn", reason="the extra images is not installed")


def asked(model):
    torch.manual_seed(1)
    config = parse_config(
        {
            "task": "fuse",
            **{
                "data": {"images": 100, "repeats": 1, "dev": 20, "test": 20},
                "sound": {"bands": 10, "masks": 0},
                "model": {"width": 8, "heads": 2, "layers": 1, "feedforward": 8, **model},
            },
        }
    )
    splits = Fuse.read(config)
    task = Fuse.fit(config, splits.train)
    model, example = build(task).eval(), splits.test[0]
    (answer,) = task.answer(model, task.encode([example]))
    question = task.question(model, example, answer)
    check_question(question, model)
    return task, model, example, question


@pytest.mark.parametrize("attention", [True, False])
def test_every_modality_has_pieces(attention):
    question = asked({"attention": attention})[3]
    assert sum(name.startswith("image ") for name in question.pieces) == 16
    assert any(name.startswith("sound ") for name in question.pieces)
    assert (question.route is None) == (not attention)


def test_what_is_missing_has_none():
    task, model, _, _ = asked({})
    example = task.parse("text=seven")
    (answer,) = task.answer(model, task.encode([example]))
    question = task.question(model, example, answer)
    check_question(question, model)
    assert question.pieces == tuple("seven")
