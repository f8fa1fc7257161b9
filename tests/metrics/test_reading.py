"""What is compared of answers and examples."""

import re

import numpy as np
import pytest

from heedful.errors import DataError
from heedful.metrics.reading import itself, paired


def test_what_is_compared():
    said, true = paired(["A", "b"], [("a", 1), ("B", 2)], answer=str.lower, truth=lambda e: e[0])
    assert (said, true) == (["a", "b"], ["a", "B"])
    assert itself(said) is said
    arrays = np.arange(3), np.arange(3)
    assert paired(*arrays, answer=itself, truth=itself) == ([0, 1, 2], [0, 1, 2])


@pytest.mark.parametrize(
    "answers, examples, message",
    [
        ([], [], "a metric must have an example to be computed on, got none"),
        ([1, 2], [1, 2, 3], "answers must be as many as their examples, got 2 answers for 3 exam"),
    ],
)
def test_rejects(answers, examples, message):
    with pytest.raises(DataError, match=re.escape(message)):
        paired(answers, examples, answer=itself, truth=itself)
