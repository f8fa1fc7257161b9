"""Questions are whole before a model is asked."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.explaining.question import Question, Route, Step

GIVEN = {
    "pieces": ("a", "b"),
    "targets": ("x",),
    "inputs": lambda kept: kept,
    "scores": lambda model, kept: kept,
    "removal": "nothing",
}


def test_pieces_lie_in_a_row_unless_it_says_otherwise():
    assert Question(**GIVEN).shape == (2,)
    assert Question(**GIVEN, shape=(1, 2)).shape == (1, 2)
    assert Question(**GIVEN).inputs(torch.ones(1, 2)).shape == (1, 2)


ROUTE = Route(steps=(Step(site="a"),), places={}, rows=(0, 1))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"pieces": ()}, "a question must have pieces, got none"),
        ({"targets": ()}, "a question must have targets, got none"),
        ({"route": ROUTE}, "must have a row for each of 1 targets, got 2"),
        ({"shape": (3,)}, r"shape must be that of 2 pieces, got \(3,\)"),
    ],
)
def test_rejects_half_questions(changes, message):
    with pytest.raises(ConfigError, match=message):
        Question(**{**GIVEN, **changes})
