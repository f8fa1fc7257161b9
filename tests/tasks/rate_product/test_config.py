"""The config of a rating of products: settings that do not fit each other are named."""

import pytest

from heedful.errors import ConfigError
from heedful.tasks.catalog import parse_config
from heedful.tasks.rate_product.config import problem

TABLE = {"name": "table", "train": "a.csv", "dev": "b.csv"}


def config(**tables):
    return parse_config({"task": "rate-product", **tables})


@pytest.mark.parametrize(
    "model, message",
    [
        ({"width": 6, "heads": 4}, "heads must divide width, got heads=4, width=6"),
        (
            {"width": 6, "heads": 2, "encoder": "transformer"},
            "width / heads must be even for rotary positions, got width=6, heads=2",
        ),
        ({"width": 7, "heads": 7}, "width must be even for two directions, got 7"),
        ({"width": 7, "heads": 7, "encoder": "cnn"}, None),
    ],
)
def test_sizes_must_fit_each_other(model, message):
    assert problem(config(model={"encoder": "lstm", **model})) == message


@pytest.mark.parametrize(
    "ranks, message",
    [
        (["bad", "bad"], "ranks must be different words, got bad, bad"),
        (["bad"], "ranks must be two words or more, got bad"),
        ([0, 1], None),
    ],
)
def test_ranks_are_different_words(ranks, message):
    assert problem(config(data={**TABLE, "ranks": ranks})) == message


def test_numbers_may_name_columns():
    data = config(data={**TABLE, "review": 2, "rating": 1}).data
    assert (data.review, data.rating, data.product) == ("2", "1", "")
    with pytest.raises(ConfigError, match="step"):
        config(data={**TABLE, "step": 0})
