"""What a config of a node classification refuses before any data is read."""

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_node.config import problem


@pytest.mark.parametrize(
    "tables, message",
    [
        ({}, None),
        ({"model": {"name": "transformer"}}, None),
        ({"model": {"heads": 7}}, "model.heads must divide model.width, got 7 and 32"),
        ({"model": {"last_heads": 7}}, "model.last_heads must divide model.width, got 7 and 32"),
        (
            {"model": {"score": "additive", "attention_dropout": 0.5}},
            "model.attention_dropout must be 0 where scores are additive, got 0.5",
        ),
        (
            {"data": {"train_share": 0.7, "dev_share": 0.4}},
            "data.train_share and data.dev_share must be at most 1 together, got 0.7 and 0.4",
        ),
    ],
)
def test_sizes_must_fit(tables, message):
    assert problem(parse_config({"task": "classify-node", **tables})) == message
