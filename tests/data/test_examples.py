"""A dev split that is taken out leaves one example of each label to learn from."""

import random
from collections import Counter

import pytest

from heedful.data.examples import take_dev
from heedful.errors import DataError


def test_where_all_labels_are_left_the_first_rows_are_taken():
    assert take_dev(["a", "b", "a", "b"], [2, 1, 0, 3], 2, what="a row") == [2, 1]


@pytest.mark.parametrize("seed", range(20))
def test_every_label_is_left_to_learn_from(seed):
    draw = random.Random(seed)
    labels = [*draw.choices("abcde", k=12), "rare"]
    order = draw.sample(range(13), 11)  # two of them are held out for something else
    kinds = Counter(labels[row] for row in order)
    most = len(order) - len(kinds)
    taken = take_dev(labels, order, most, what="a row")
    assert len(set(taken)) == most
    assert {labels[row] for row in set(order) - set(taken)} == set(kinds)
    message = rf"leave a row of each label to learn from, got data.dev = {most + 1} of 11 with"
    with pytest.raises(DataError, match=message):
        take_dev(labels, order, most + 1, what="a row")
