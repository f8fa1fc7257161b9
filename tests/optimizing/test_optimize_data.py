"""No example in two splits, whatever it is made of; what differs at all is another example."""

import dataclasses
import re
import types
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from heedful.errors import DataError
from heedful.optimizing.optimize_data import OptimizeData


@dataclasses.dataclass(frozen=True)
class Pair:
    source: str
    target: str


Point = namedtuple("Point", "x y")


def tensor(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def splits(calibration, dev, test, **settings):
    return OptimizeData(calibration=calibration, dev=dev, test=test, **settings)


# ---- disjoint ------------------------------------------------------------------------------------


def test_disjoint_splits_are_kept_as_they_are():
    parts = [tensor(3), tensor(3, seed=1)], ["a"], (1, 2, 3)
    made = splits(*parts)
    assert (made.calibration, made.dev, made.test) == parts
    assert len(repr(made)) < 40
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.test = []


def test_names_the_splits_how_many_and_the_first():
    calibration = [*(f"c{row}" for row in range(7)), "shared", "also", "shared"]
    test = ["x", "also", "shared", "also", "shared"]
    message = (
        "splits must be disjoint, got 2 examples in both calibration and test, "
        "the first at calibration[7] and test[2]"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        splits(calibration, ["v"], test)


@pytest.mark.parametrize("first, second", [(0, 1), (0, 2), (1, 2)])
def test_every_two_splits_are_compared(first, second):
    parts = [[f"{part}{row}" for row in range(5)] for part in "abc"]
    parts[second][3] = parts[first][1]
    names = ("calibration", "dev", "test")
    message = (
        f"got 1 example in both {names[first]} and {names[second]}, "
        f"the first at {names[first]}[1] and {names[second]}[3]"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        splits(*parts)


def test_one_among_many_is_found():
    parts = [torch.arange(start, start + 3_000) for start in (0, 3_000, 6_000)]
    splits(*parts)
    parts[2][2_345] = 17
    message = "the first at calibration[17] and test[2345]"
    with pytest.raises(DataError, match=re.escape(message)):
        splits(*parts)


def test_twice_in_one_split_is_fine():
    splits(["a", "a"], ["b", "b", "b"], ["c", "c"])


@pytest.mark.parametrize(
    "example",
    [
        tensor(2, 3),
        {"ids": tensor(4), "mask": torch.ones(4).bool()},
        (tensor(2, 3), 1),
        Pair("a", "b"),
        Point(1, "b"),
        np.arange(4),
        "text",
        3.5,
        None,
    ],
)
def test_an_overlap_of_anything_is_found(example):
    with pytest.raises(DataError, match="in both dev and test"):
        splits([0], [1, example], [example, 2])


def test_splits_may_be_anything_with_a_length():
    data = [TensorDataset(torch.arange(4) + start, torch.zeros(4)) for start in (0, 4, 8)]
    splits(*data)
    splits(np.arange(6).reshape(3, 2), torch.arange(6).view(3, 2), range(3))
    with pytest.raises(DataError, match=re.escape("dev[0] and test[1]")):
        splits(data[0], data[1], [data[2][0], data[1][0]])


def test_the_key_says_what_an_example_is():
    parts = [("a", 0), ("b", 0)], [("c", 0)], [("d", 0), ("a", 1)]
    splits(*parts)
    message = re.escape("the first at calibration[0] and test[1]")
    with pytest.raises(DataError, match=message):
        splits(*parts, key=lambda example: example[0])


def test_the_older_name_of_dev_still_works():
    with pytest.warns(DeprecationWarning, match="^validation of OptimizeData is now dev$"):
        assert OptimizeData(calibration=["a"], validation=["b"], test=["c"]).dev == ["b"]


# ---- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "split, message",
    [
        ([], "test must hold an example, got none"),
        ("abc", "test must be a sequence of examples with a length, such as a list, got str"),
        ({0: "a"}, "test must be a sequence of examples with a length, such as a list, got dict"),
        (iter(["a"]), "such as a list, got list_iterator"),
        ({"a"}, "such as a list, got set"),
        (None, "such as a list, got NoneType"),
        (torch.tensor(3), "test must be a sequence of examples, got a single number"),
        (
            [types.SimpleNamespace()],
            "examples must hold tensors, arrays, texts, numbers or containers of them, "
            "got SimpleNamespace. Say by `key` what identifies an example.",
        ),
        ([(1, np.array([object()]))], "numbers or containers of them, got ndarray."),
        ([Pair], "numbers or containers of them, got type."),
        (
            [torch.eye(2).to_sparse()],
            "tensors of examples must be dense, got torch.sparse_coo of torch.float32",
        ),
    ],
)
def test_rejects(split, message):
    with pytest.raises(DataError, match=re.escape(message)):
        splits(["a"], ["b"], split)
