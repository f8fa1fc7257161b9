"""A dev split leaves one example of each label to learn from; no other label is held out."""

import random
import re
from collections import Counter

import pytest

from heedful.data.examples import check_label, check_sizes, take_dev
from heedful.errors import DataError


def test_where_nobody_says_how_many_a_tenth_is_held_out():
    def taken(count, have):
        return len(take_dev(["a"] * have, range(have), count, most=30, what="a row")[1])

    assert [taken(None, have) for have in (2, 14, 120, 9_000)] == [1, 1, 12, 30]
    assert taken(50, 120) == 50


def test_where_all_labels_are_left_the_first_rows_are_taken():
    found = take_dev(["a", "b", "a", "b"], [2, 1, 0, 3], 2, most=9, what="a row")
    assert found == ([0, 3], [2, 1])


@pytest.mark.parametrize("seed", range(20))
def test_every_label_is_left_to_learn_from(seed):
    draw = random.Random(seed)
    labels = [*draw.choices("abcde", k=12), "rare"]
    order = draw.sample(range(13), 11)  # two of them are held out for something else
    kinds = Counter(labels[row] for row in order)
    most = len(order) - len(kinds)
    left, taken = take_dev(labels, order, most, most=1, what="a row")
    assert len(set(taken)) == most
    assert left == sorted(set(order) - set(taken))
    assert {labels[row] for row in left} == set(kinds)
    message = rf"leave a row of each label to learn from, got {most + 1} of 11 with"
    with pytest.raises(DataError, match=message):
        take_dev(labels, order, most + 1, most=1, what="a row")


def test_a_label_that_was_never_learned_is_refused_where_it_stands():
    check_label("a.tsv:3", "cat", {"cat"})
    check_label("a.tsv:3", "ox", None)
    message = r"^a\.tsv:3 must have a label of the training split, got 'ox'$"
    with pytest.raises(DataError, match=message):
        check_label("a.tsv:3", "ox", {"cat"})
    with pytest.raises(DataError, match=f"got '{'x' * 79}$"):
        check_label("a.tsv:3", "x" * 1_000, {"cat"})


def test_images_of_another_size_are_refused_before_a_training():
    check_sizes((8, 8, 1), [8, 8, 1])
    message = "data.test must be as large as those of data.train, (8, 9, 1), got (8, 9, 3)"
    with pytest.raises(DataError, match=re.escape(message)):
        check_sizes((8, 9, 1), (8, 9, 3))
