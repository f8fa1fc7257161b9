"""The config of answers: sizes that do not fit each other are named."""

import pytest

from heedful.tasks.answer.config import problem
from heedful.tasks.catalog import parse_config


@pytest.mark.parametrize(
    "model, message",
    [
        (
            {"name": "memory", "width": 6, "heads": 4},
            "heads must divide width, got heads=4, width=6",
        ),
        (
            {"name": "bidaf", "width": 6, "heads": 2},
            "width / heads must be even for rotary positions, got width=6, heads=2",
        ),
        ({"name": "memory", "width": 6, "heads": 2}, None),
        ({"name": "bidaf", "width": 8, "heads": 2}, None),
    ],
)
def test_sizes_must_fit_each_other(model, message):
    assert problem(parse_config({"task": "answer", "model": model})) == message
