"""Settings of a classification of sequences that cannot be used together are refused."""

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_sequence.config import Config, problem

FILES = {"name": "files", "train": "a.fa", "dev": "b.fa"}


def config(**tables):
    return parse_config({"task": "classify-sequence", **tables})


def test_what_is_built_in_can_be_used():
    assert problem(Config()) is None
    assert problem(config(data=FILES, model={"strands": "both"})) is None
    assert config(data={**FILES, "label": 2}).data.label == "2"


@pytest.mark.parametrize(
    "tables, words",
    [
        ({"model": {"width": 8, "heads": 3}}, "heads must divide width, got heads=3, width=8"),
        ({"model": {"width": 6, "heads": 2}}, "width / heads must be even for rotary positions"),
        ({"model": {"kernel": 4}}, "kernel must be odd, got 4"),
        (
            {"data": {**FILES, "alphabet": "protein"}, "model": {"strands": "both"}},
            'model.strands must be "one" for proteins, which have no other strand, got "both"',
        ),
        (
            {"data": {"examples": 20, "dev": 15, "test": 5}},
            "data.examples must be more than data.dev and data.test together, got 20, 15 and 5",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(tables, words):
    assert str(problem(config(**tables))).startswith(words)
