"""What belongs to heads besides rows of layers is found along the axis on which they stand."""

import pytest
import torch
from torch import nn

from heedful.allocation.adapters.structure.companions import beside_scores, companions
from heedful.allocation.adapters.structure.scratch import scratch
from heedful.allocation.adapters.structure.trace import traced
from heedful.errors import UnsupportedError

from .toy import HEADS, WIDTH, Toy
from .vision import Swin


class Sunk(Toy):
    """Numbers for each head in two of its parts, and one for all."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.empty(2, HEADS, 5))
        self.slope, self.all = nn.Parameter(torch.empty(HEADS)), nn.Parameter(torch.empty(1))

    def scores(self, scores):
        added = self.table.sum((0, 2)) + self.all
        return scores * self.slope[:, None, None] + added[:, None, None]


def of(module):
    site = scratch(module)
    return site, traced(site)


def test_finds_the_axis_of_the_heads():
    found = {x.path: (x.axis, x.rows.tolist()) for x in companions(*of(Sunk()))}
    own = [[0], [1], [2]]
    assert found == {"table": (1, own), "slope": (0, own)}
    assert companions(*of(Toy())) == ()


class Paired(Toy):
    def __init__(self):
        super().__init__()
        self.pairs = nn.Parameter(torch.empty(HEADS + 1))

    def scores(self, scores):
        return scores + (self.pairs[1:] + self.pairs[:-1])[:, None, None]


def test_refuses_what_two_heads_share():
    with pytest.raises(UnsupportedError, match="its pairs belongs to heads in a way that cannot"):
        companions(*of(Paired()))


def test_rows_that_make_something_of_the_scores_of_a_head():
    _, trace = of(Swin())
    (part,) = beside_scores(trace, {"qkv"})
    assert (part.path, part.rows.tolist()) == ("mlp.2", [[0], [1], [2]])
    assert beside_scores(of(Toy())[1], set("qkv")) == ()


class OneForAll(Toy):
    def __init__(self):
        super().__init__()
        self.each = nn.Linear(WIDTH, 1)

    def made(self, x):
        self.added = self.each(x).mean()
        return super().made(x)

    def scores(self, scores):
        return scores + self.added


def test_what_is_added_to_all_heads_alike_is_not_cut():
    assert beside_scores(of(OneForAll())[1], set("qkv")) == ()
