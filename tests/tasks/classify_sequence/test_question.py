"""Why a sequence has its label: its letters, on both strands."""

import pytest
import torch

from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_sequence.task import ClassifySequence
from heedful.testing.questions import check_question
from heedful.training.start import build


def asked(model):
    torch.manual_seed(1)
    config = parse_config(
        {
            "task": "classify-sequence",
            **{
                "data": {"examples": 60, "dev": 20, "test": 20},
                "model": {"width": 8, "heads": 2, **model},
            },
        }
    )
    splits = ClassifySequence.read(config)
    task = ClassifySequence.fit(config, splits.train)
    model, example = build(task).eval(), splits.test[0]
    (answer,) = task.answer(model, task.encode([example]))
    question = task.question(model, example, answer)
    check_question(question, model)
    return task, model, example, question


@pytest.mark.parametrize("strands", ["one", "both"])
@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_the_pieces_are_letters(strands, pooling):
    _, _, example, question = asked({"strands": strands, "pooling": pooling})
    assert question.pieces == tuple(example.letters)


def test_a_removed_letter_may_be_any():
    question = asked({})[3]
    kept = torch.ones(2, len(question.pieces), dtype=torch.bool)
    kept[1, 3] = False
    first, second = question.inputs(kept)
    assert (first != second).nonzero().flatten().tolist() == [3]
