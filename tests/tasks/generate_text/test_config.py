"""The config of a text generation refuses sizes and shares that make no training."""

import re

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.generate_text.config import problem


def config(**tables):
    return parse_config({"task": "generate-text", **tables})


def test_the_defaults_are_no_problem():
    assert problem(config()) is None
    assert problem(config(model={"name": "lstm", "context": 8})) is None
    assert problem(config(tokens={"kind": "bpe"}, data={"passage": 1_000})) is None


@pytest.mark.parametrize(
    "tables, message",
    [
        (
            {"data": {"dev_share": 0.4, "test_share": 0.6}},
            "data.dev_share and data.test_share must leave something to learn, got 0.4 and 0.6",
        ),
        (
            {"data": {"dev_share": 0.0}},
            "data.dev_share must be above 0 where there is no data.dev, got 0",
        ),
        (
            {"data": {"passage": 200, "before": 58}},
            "must be at most model.context + 1 characters, got 200 + 58, 256",
        ),
        (
            {"model": {"width": 12, "heads": 4}},
            "heads must divide width into even parts, got heads=4, width=12",
        ),
        (
            {"model": {"heads": 4, "kv_heads": 3}},
            "heads must divide by kv_heads, got heads=4, kv_heads=3",
        ),
    ],
)
def test_what_does_not_fit_is_told(tables, message):
    assert re.search(re.escape(message), problem(config(**tables)) or "")


def test_a_dev_file_needs_no_share():
    data = {"name": "text", "train": "a", "dev": "b", "dev_share": 0.0}
    assert problem(config(data=data)) is None
