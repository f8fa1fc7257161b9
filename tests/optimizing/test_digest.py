"""The same content has the same digest; what differs at all has another one."""

import dataclasses
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch

from heedful.optimizing.digest import _hash, digest


@dataclasses.dataclass(frozen=True)
class Pair:
    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Couple:
    source: str
    target: str


Point = namedtuple("Point", "x y")


def tensor(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize(
    "one, other",
    [
        (tensor(2, 3), tensor(2, 3).clone()),
        (tensor(3, 4).T, tensor(3, 4).T.contiguous()),
        (tensor(5)[::2], tensor(5)[::2].clone()),
        (tensor(4), tensor(4).requires_grad_()),
        (tensor(4, dtype=torch.bfloat16), tensor(4, dtype=torch.bfloat16)),
        (torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j])),
        (torch.tensor(3), torch.tensor([3])[0]),
        (np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy()),
        ([1, "a"], (1, "a")),
        (Point(1, 2), (1, 2)),
        ({"a": 1, "b": 2}, OrderedDict([("b", 2), ("a", 1)])),
        ({0, 8}, frozenset([8, 0])),  # read in another order
        (np.float64(0.1), 0.1),
        (np.int32(7), 7),
        (bytearray(b"ab"), b"ab"),
        (float("nan"), float("nan")),
        (Pair("a", "b"), Pair("a", "b")),
    ],
)
def test_the_same_content(one, other):
    assert digest(one) == digest(other)
    assert len(digest(one)) == 16


DIFFERENT = [
    tensor(2, 3),
    tensor(3, 2),
    tensor(6),
    tensor(2, 3, seed=1),
    tensor(2, 3, dtype=torch.float64),
    tensor(2, 3).view(torch.int32),
    torch.zeros(0),
    torch.zeros(0, 2),
    np.arange(3),
    np.arange(3, dtype=np.int32),
    np.zeros(2, np.int32),
    np.zeros(2, np.float32),
    torch.arange(3),
    [0, 1, 2],
    [0, [1, 2]],
    [[0, 1], 2],
    [[0], [1], [2]],
    [],
    [[]],
    {},
    set(),
    {"a": 1},
    {"a": 1, "b": None},
    {"a": "b"},
    {"b": "a"},
    ["a", "b"],
    [("a", "b")],
    {"a", "b"},
    ("ab", ""),
    ("", "ab"),
    "ab",
    b"ab",
    "",
    b"",
    "1",
    1,
    1.0,
    1 + 0j,
    True,
    False,
    0,
    0.0,
    -0.0,
    None,
    "None",
    10**30,
    Pair("a", "b"),
    Pair("b", "a"),
    Couple("a", "b"),
    "\ud800",  # half a character, as broken text holds it
]


def test_different_content():
    digests = [digest(example) for example in DIFFERENT]
    assert len(set(digests)) == len(DIFFERENT)


def test_parts_do_not_run_together():
    assert _hash("ab", "c") != _hash("a", "bc") != _hash("abc")


def test_every_value_counts():
    whole = torch.zeros(3, 4, 5)
    before = digest(whole)
    for place in np.ndindex(3, 4, 5):
        whole[place] = 1e-30
        assert digest(whole) != before
        whole[place] = 0
