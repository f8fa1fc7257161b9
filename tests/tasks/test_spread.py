"""Few examples are spread over the sizes of all, whatever their order."""

from types import SimpleNamespace

import numpy as np
import pytest

from heedful.tasks.spread import spread_by_size


class Task:
    def encode(self, examples):
        return SimpleNamespace(sizes=np.array([[each, 1] for each in examples]))


@pytest.mark.parametrize(
    "count, ends, chosen",
    [
        (3, False, [1, 5, 8]),
        (3, True, [0, 5, 9]),
        (1, False, [5]),
        (1, True, [0]),
        (2, True, [0, 9]),
        (99, False, [*range(10)]),
        (99, True, [*range(10)]),
    ],
)
def test_middles_of_equal_parts(count, ends, chosen):
    examples = [7, 3, 9, 0, 5, 1, 8, 2, 6, 4]
    assert spread_by_size(Task(), examples, count=count, ends=ends) == chosen


def test_examples_of_one_size_keep_their_order():
    assert spread_by_size(Task(), [4, 4, 4, 4], count=4) == [4, 4, 4, 4]
