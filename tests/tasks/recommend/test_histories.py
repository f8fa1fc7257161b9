"""Histories: how users are split, what batches hold, and what is said of a file."""

import re
import warnings

import numpy as np
import pytest

from heedful.errors import DataError, DataWarning
from heedful.tasks.recommend.config import PlantedData, TableData
from heedful.tasks.recommend.histories import (
    Histories,
    History,
    last_items,
    random_items,
    read_splits,
)

USERS = [list("abcdefghij"), list("bca"), list("ab"), list("c"), list("dcba")]
NUMBERS = {each: number + 2 for number, each in enumerate("abcdefghij")}


def test_the_last_items_are_held_out():
    split = last_items(USERS)
    assert split.test[0] == History(tuple("abcdefghi"), ("j",))
    assert split.dev[0] == History(tuple("abcdefgh"), ("i",))
    assert split.train[0] == History(tuple("abcdefg"), ("h",))
    assert [len(part) for part in (split.train, split.dev, split.test)] == [3, 3, 3]
    assert History(("a",), ("b",)) in split.train  # too short for dev and test


@pytest.mark.parametrize("seed", range(5))
def test_random_items_are_a_tenth_each_and_none_is_in_two_parts(seed):
    users = [[f"{user}-{place}" for place in range(20 + user)] for user in range(10)]
    split = random_items(users, seed)
    for items, train, dev, test in zip(users, split.train, split.dev, split.test, strict=True):
        learned = {*train.items, *train.relevant}
        assert len(dev.relevant) == len(test.relevant) == len(items) // 10
        assert sorted([*learned, *dev.relevant, *test.relevant]) == sorted(items)
        assert set(dev.items) == learned
        assert set(test.items) == learned | set(dev.relevant)
        assert list(test.items) == [item for item in items if item in {*test.items}]


def test_random_items_of_few_are_one_each():
    split = random_items(USERS, 1)
    assert [len(each.relevant) for each in split.test] == [1, 1]  # of ten items, and of four
    assert len(split.train) == 4  # one item alone teaches nothing


def test_a_batch_holds_what_comes_after_each_place():
    examples = [History(tuple("abcd"), ("e",)), History(("z", "b"), ("z",)), History(("j",))]
    batch = Histories(examples, NUMBERS, longest=3).batch([0, 1, 2], "cpu")
    assert batch.items.tolist() == [[3, 4, 5, 0], [1, 3, 0, 0], [11, 0, 0, 0]]
    assert batch.lengths.tolist() == [3, 2, 1]
    unknown = -100
    assert batch.targets.tolist() == [[2, 3, 4, unknown], [1, *[unknown] * 3], [unknown] * 4]
    assert batch.truth.tolist() == [4, unknown, unknown]
    assert batch.others.shape == (3, 0, 4)


def test_what_is_not_clicked_is_nothing_that_the_user_had():
    examples = [History(tuple("abcd"), ("e",)), History(("f",), ("g",))]
    data = Histories(examples, NUMBERS, longest=5, negatives=50)
    batch, again = data.batch([0, 1], "cpu"), data.batch([1, 0], "cpu")
    assert set(batch.others[0].flatten().tolist()) == set(range(5, 10))
    assert set(batch.others[1, :, :1].flatten().tolist()) == set(range(10)) - {5, 6}
    assert batch.others[0].tolist() == again.others[1].tolist()
    random = data.batch([0, 1], "cpu", random=np.random.default_rng(0))
    assert random.others[0].tolist() != batch.others[0].tolist()


def test_only_where_order_means_nothing_it_is_shuffled():
    examples = [History(tuple("abcdefghi"), ("j",))]
    for shuffled in (False, True):
        data = Histories(examples, NUMBERS, longest=12, shuffled=shuffled)
        still, moved = (
            data.batch([0], "cpu", random=random) for random in (None, np.random.default_rng(1))
        )
        assert still.items[0, :9].tolist() == list(range(2, 11))
        assert (moved.items.tolist() != still.items.tolist()) is shuffled
        both = [*moved.items[0, :9].tolist(), moved.truth[0].item() + 2]
        assert sorted(both) == list(range(2, 12))


def test_what_is_new_and_what_is_cut_is_counted():
    data = Histories([History(tuple("abc"), ("z",)), History(("a",))], NUMBERS, longest=2)
    assert (data.new, data.cut) == (1, 1)
    assert data.seen(0).tolist() == [0, 1, 2]
    assert data.sizes.tolist() == [[4], [4]]
    other = Histories([History(tuple("abd"), ("z",)), History(("a",))], NUMBERS, longest=2)
    assert data.fingerprint() != other.fingerprint()


def test_planted_histories_know_what_is_followed():
    split = read_splits(PlantedData(users=50, length=10), 1)
    known = [each for each in split.test if each.follows >= 0]
    assert len(known) > 30
    for each in known:
        series = each.relevant[0].rpartition(" ")[0]
        assert each.items[each.follows].rpartition(" ")[0] == series


def rows(users):
    lines = [f"{user},{item}" for user, items in enumerate(users) for item in items]
    return "\n".join(["user,item", *lines]) + "\n"


def test_what_is_left_out_of_a_file_is_said(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(rows([[*USERS[0], "a"], *USERS[1:]]))
    data = TableData(file=str(path), time="")
    with pytest.warns(DataWarning) as told:
        split = read_splits(data, 1)
    said = [str(each.message).removeprefix(f"{path}: ") for each in told]
    assert said == [
        "rows left out, for they repeat an item of the same user: 1",
        "users left out, for from one item alone nothing can be learned: 1",
        "users with too few items to be in dev and test: 1",
        "items of the test split that are new, so that no model can name them: 1",
    ]
    assert len(split.test) == 3


def test_a_whole_file_is_read_without_a_word(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(rows([list("abcd"), list("dcba"), list("bacd")]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_splits(TableData(file=str(path), time=""), 1)


def test_users_with_too_few_items_are_no_data(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(rows([["a"], ["b"]]))
    words = "must have users with enough items for the train split, got none"
    with pytest.raises(DataError, match=re.escape(words)):
        read_splits(TableData(file=str(path), time=""), 1)
