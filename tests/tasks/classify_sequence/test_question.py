"""Why a sequence has its label: its letters, on both strands."""

import pytest
import torch


@pytest.fixture
def asked(ask):
    data, small = {"examples": 60, "dev": 20, "test": 20}, {"width": 8, "heads": 2}
    return lambda **model: ask("classify-sequence", data=data, model={**small, **model})


@pytest.mark.parametrize("strands", ["one", "both"])
@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_the_pieces_are_letters(asked, strands, pooling):
    _, _, example, question = asked(strands=strands, pooling=pooling)
    # slopes, of which more holds, cannot be told where both strands are read
    assert question.method == ("integrated-gradients" if strands == "one" else "")
    assert question.pieces == tuple(example.letters)


def test_a_removed_letter_may_be_any(asked):
    question = asked().question
    kept = torch.ones(2, len(question.pieces), dtype=torch.bool)
    kept[1, 3] = False
    first, second = question.inputs(kept)
    assert (first != second).nonzero().flatten().tolist() == [3]
