"""Why a sound has its label: its stretches, some of them silent."""

import pytest
import torch

from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_speech.task import ClassifySpeech
from heedful.testing.questions import check_question
from heedful.training.start import build

pytest.importorskip("soundfile", reason="the extra sound is not installed")


def asked(model):
    torch.manual_seed(1)
    config = parse_config(
        {
            "task": "classify-speech",
            **{
                "data": {"examples": 60, "dev": 12, "test": 12},
                "sound": {"bands": 20},
                "model": {"width": 16, "heads": 2, **model},
            },
        }
    )
    splits = ClassifySpeech.read(config)
    task = ClassifySpeech.fit(config, splits.train)
    model, example = build(task).eval(), splits.test[0]
    (answer,) = task.answer(model, task.encode([example]))
    question = task.question(model, example, answer)
    check_question(question, model)
    return task, model, example, question


@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_the_pieces_are_stretches_of_time(pooling):
    question = asked({"pooling": pooling})[3]
    assert question.pieces[0] == "0.00 s"
    assert question.shape == (1, len(question.pieces))
    assert question.canvas.shape[0] == 20


def test_silence_is_the_quietest_of_each_band():
    question = asked({})[3]
    kept = torch.ones(2, len(question.pieces), dtype=torch.bool)
    kept[1, 0] = False
    whole, part = question.inputs(kept)
    torch.testing.assert_close(part[:4], whole.amin(0).expand(4, -1))
    torch.testing.assert_close(part[4:], whole[4:])
