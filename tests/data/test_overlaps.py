"""What stands in two splits is counted, said, and not learned from."""

from heedful.data.examples import Example, Splits
from heedful.data.overlaps import contradictions, overlaps, told, without_held_out
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
    memory = "scores say nothing about what is new"
    assert told(found, left_out=0) == [
        f"2 of the 4 dev examples are in the train split too: on them, dev {memory}",
        f"3 of the 5 test examples are in the train split too: on them, test {memory}",
        f"2 of the 5 test examples are in the dev split too: on them, test {memory}",
    ]
    assert told(found, left_out=4) == [
        "2 of the 4 dev examples are in the train split too: training leaves 4 examples out",
        "3 of the 5 test examples are in the train split too: training leaves 4 examples out",
        f"2 of the 5 test examples are in the dev split too: on them, test {memory}",
    ]


def test_what_is_held_out_is_not_learned_from():
    given = splits(train=["one=1", "cafe\u0301=3", "two=2"], dev=["café=3"], test=["two=2"])
    held_out = [*given.dev, *given.test]
    assert without_held_out(given.train, held_out, texts) == [Example("one", "1")]
    assert without_held_out(given.train[1:], held_out, texts) == given.train[1:]  # on purpose


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
    assert told(found, left_out=0) == []


def test_one_is_no_several():
    found = overlaps(splits(train=["one=1"], dev=["one=1", "two=2"], test=[]), texts)
    assert told(found, left_out=1) == [
        "1 of the 2 dev examples is in the train split too: training leaves 1 example out"
    ]


def test_inputs_whose_answers_contradict_each_other_are_counted():
    given = ["A=x", "A=y", "A=x", "C=y", "C=y"]

    def said(*examples):
        right = [(letters, frozenset(label.split())) for letters, label in map(parted, examples)]
        return contradictions(right, lambda pair: pair[0], lambda pair: pair[1])

    def parted(example):
        letters, _, label = example.partition("=")
        return letters, label

    wrong = "there with answers that contradict each other"
    assert said(*given) == [f"1 of the 2 training inputs is {wrong}"]
    assert said(*given, "C=x") == [f"2 of the 2 training inputs are {wrong}"]
    assert said(*given[1:]) != []
    assert said(*given[2:]) == said() == []
    assert said("A=x", "A=", "B=") == []  # nobody knows, or others may be right as well
    assert said("A=x y", "A=y z") == []  # both say that y is right
    assert said("A=x y", "A=y z", "A=x z") == [f"1 of the 1 training inputs is {wrong}"]
