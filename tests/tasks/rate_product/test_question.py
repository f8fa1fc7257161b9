"""Why a product has its class: the words of all its reviews."""

import pytest
import torch

from heedful.tasks.catalog import parse_config
from heedful.tasks.rate_product.task import RateProduct
from heedful.testing.questions import check_question
from heedful.training.start import build


def asked(encoder="none"):
    torch.manual_seed(1)
    config = parse_config(
        {
            "task": "rate-product",
            **{
                "data": {"examples": 60, "dev": 20, "test": 20},
                "model": {"width": 8, "heads": 2, "encoder": encoder},
            },
        }
    )
    splits = RateProduct.read(config)
    task = RateProduct.fit(config, splits.train)
    model, example = build(task).eval(), splits.test[0]
    (answer,) = task.answer(model, task.encode([example]))
    question = task.question(model, example, answer)
    check_question(question, model)
    return task, model, example, question


@pytest.mark.parametrize("encoder", ["none", "lstm", "transformer"])
def test_the_pieces_are_the_words_of_the_reviews(encoder):
    task, _, example, question = asked(encoder)
    assert "".join(question.pieces) == "".join(task.typed(text) for text in example.reviews)


def test_a_review_without_words_stays_a_review():
    _, model, _, question = asked()
    nothing = torch.zeros(1, len(question.pieces), dtype=torch.bool)
    assert question.scores(model, question.inputs(nothing)).isfinite().all()
