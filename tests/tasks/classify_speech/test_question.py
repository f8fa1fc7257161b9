"""Why a sound has its label: its stretches, some of them silent."""

import pytest
import torch

pytest.importorskip("soundfile", reason="the extra sound is not installed")


@pytest.fixture
def asked(ask):
    tables = {"data": {"examples": 60, "dev": 12, "test": 12}, "sound": {"bands": 20}}
    small = {"width": 16, "heads": 2}
    return lambda **model: ask("classify-speech", **tables, model={**small, **model})


@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_the_pieces_are_stretches_of_time(asked, pooling):
    question = asked(pooling=pooling).question
    assert question.method == "occlusion"  # by which more holds
    assert question.pieces[0] == "0.00 s"
    assert question.shape == (1, len(question.pieces))
    assert question.canvas.shape[0] == 20


def test_silence_is_the_quietest_of_each_band(asked):
    question = asked().question
    kept = torch.ones(2, len(question.pieces), dtype=torch.bool)
    kept[1, 0] = False
    whole, part = question.inputs(kept)
    torch.testing.assert_close(part[:4], whole.amin(0).expand(4, -1))
    torch.testing.assert_close(part[4:], whole[4:])
