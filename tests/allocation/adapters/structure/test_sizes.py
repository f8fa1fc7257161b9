"""A smaller geometry counts only where the module computes what the whole one does with silence."""

import copy
import re
from dataclasses import replace

import pytest
import torch

from heedful.allocation.adapters.structure.find import find
from heedful.allocation.adapters.structure.reads import Place
from heedful.allocation.adapters.structure.sizes import sizes_for
from heedful.allocation.adapters.structure.structure import geometry_of, slots_of
from heedful.allocation.projections import Geometry
from heedful.errors import UnsupportedError

from .toy import DIM, HEADS, WIDTH, Toy

pytest.importorskip("transformers")


class Counting(Toy):
    """Splits by numbers that it keeps, one of which says something else and is the same."""

    window = HEADS

    def __init__(self):
        super().__init__()
        self.window = HEADS

    def split(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)[:, :, -2 * self.window :]


def sizes(module, **changes):
    found = find(module)
    return dict(
        sizes_for(module, found, replace(geometry_of(module, found), **changes), ("eager",))
    )


def test_sets_what_counts_heads_and_nothing_else():
    assert sizes(Counting(), heads=2, kv_heads=2) == {Place("", "num_heads"): 2}


def test_never_changes_the_module_itself():
    module = Counting()
    before = copy.deepcopy(module.state_dict())
    sizes(module, heads=1, kv_heads=1)
    assert module.num_heads == HEADS
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())


class Fixed(Toy):
    """Its forward has the number of heads written into it."""

    def split(self, x):
        return x.unflatten(-1, (3, -1)).transpose(1, 2)


class Touchy(Toy):
    """Does not run with a head that is silent."""

    def given(self, mixed):
        if not self.o.weight.all():
            raise ValueError("not with zeros")
        return self.o(mixed)


class Blind(Toy):
    """What its heads give is all but lost."""

    def given(self, mixed):
        return self.o(mixed) * 1e-9 + 1


@pytest.mark.parametrize(
    "module, changes, reason",
    [
        (Fixed(), {"heads": 2, "kv_heads": 2}, "its forward cannot take 2 x 4"),
        (Toy(), {"dim": 2}, "its forward cannot take 3 x 2/4"),
        (Toy(), {"heads": 3, "kv_heads": 2}, "its forward cannot share keys as 3 on 2 x 4 does"),
        (Touchy(), {"heads": 2, "kv_heads": 2}, "it could not be run alone in full"),
        (Blind(), {"heads": 2, "kv_heads": 2}, "what its heads give could not be seen in what it"),
    ],
)
def test_refuses(module, changes, reason):
    with pytest.raises(UnsupportedError, match=re.escape(reason)):
        sizes(module, **changes)


def geometry(heads, kv_heads):
    return Geometry(
        width=WIDTH,
        context=WIDTH,
        out=WIDTH,
        heads=heads,
        kv_heads=kv_heads,
        dim=DIM,
        value_dim=DIM,
    )


@pytest.mark.parametrize(
    "old, new, slots",
    [
        ((4, 4), (2, 2), ([0, 1], [0, 1])),
        ((4, 2), (2, 2), ([0, 2], [0, 1])),
        ((4, 2), (2, 1), ([0, 1], [0])),
        ((4, 4), (4, 2), ([0, 1, 2, 3], [0, 2])),
        ((6, 3), (3, 1), ([0, 1, 2], [0])),
        ((4, 2), (3, 3), None),
    ],
)
def test_heads_keep_places_in_which_they_share_keys(old, new, slots):
    assert slots_of(geometry(*old), geometry(*new)) == slots
