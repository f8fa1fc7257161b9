"""What stands in two splits is counted and said."""

from heedful.data.examples import Example, Splits
from heedful.data.overlaps import overlaps, told
from heedful.data.scripts import composed


def texts(example):
    return composed(example.source), composed(example.target)


def splits(**texts):
    return Splits(**{name: [Example(*pair.split("=")) for pair in texts[name]] for name in texts})


def test_pairs_are_counted_wherever_they_stand_twice():
    found = overlaps(
        splits(
            train=["one=1", "two=2", "two=2", "café=3"],
            dev=["two=2", "two=3", "new=9", "cafe\u0301=3"],
            test=["two=2", "new=9", "one=1", "one=1", "four=4"],
        ),
        texts,
    )
    assert found == {
        "dev": {"examples": 4, "train": 2},
        "test": {"examples": 5, "train": 3, "dev": 2},
    }
    assert [text.split(":")[0] for text in told(found)] == [
        "2 of the 4 dev examples are in the train split too",
        "3 of the 5 test examples are in the train split too",
        "2 of the 5 test examples are in the dev split too",
    ]


def test_the_task_says_which_examples_are_the_same_one():
    given = splits(train=["one=1"], dev=["one=2"], test=["two=2"])
    assert overlaps(given, lambda example: example.source)["dev"]["train"] == 1
    assert overlaps(given, lambda example: example.target)["test"]["dev"] == 1


def test_nothing_is_said_about_nothing():
    found = overlaps(splits(train=["one=1"], dev=["one=2"], test=[]), texts)
    assert found == {
        "dev": {"examples": 1, "train": 0},
        "test": dict.fromkeys(["examples", "train", "dev"], 0),
    }
    assert told(found) == []
