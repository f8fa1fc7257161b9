"""Why a product has its class: the words of all its reviews."""

import pytest
import torch


@pytest.fixture
def asked(ask):
    data, small = {"examples": 60, "dev": 20, "test": 20}, {"width": 8, "heads": 2}
    return lambda encoder="none": ask(
        "rate-product", data=data, model={**small, "encoder": encoder}
    )


@pytest.mark.parametrize("encoder", ["none", "lstm", "transformer"])
def test_the_pieces_are_the_words_of_the_reviews(asked, encoder):
    task, _, example, question = asked(encoder)
    assert "".join(question.pieces) == "".join(task.typed(text) for text in example.reviews)


def test_a_review_without_words_stays_a_review(asked):
    _, model, _, question = asked()
    nothing = torch.zeros(1, len(question.pieces), dtype=torch.bool)
    assert question.scores(model, question.inputs(nothing)).isfinite().all()
