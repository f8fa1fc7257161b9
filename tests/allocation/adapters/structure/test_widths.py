"""A forward asks its module for the width of its heads, at chosen mentions and nowhere else."""

import copy
import pickle

import pytest
import torch
from torch import nn

from heedful.allocation.adapters.structure.widths import functions_of, mentions_of, tell


class Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.size = 3

    def forward(self, x, *, twice=True):
        """Return the width, and the width again."""
        batch, width = x.shape
        return (width, width * 10, batch) if twice else width


class Sized(Module):
    def forward(self, x):
        _, *_, width = x.size()
        return width


class Own(Module):
    def forward(self, x):
        return self.size


class Closed(Module):
    def forward(self, x):
        _, width = x.shape
        return super().forward(x), width


def doubled(x, *, more=0):
    """Of this library, and told from outside."""
    _, width = x.shape
    return width * 2 + more


class Handing(Module):
    """Leaves it all to a function."""

    def forward(self, x, *, more=1):
        return doubled(x, more=more)


X = torch.zeros(2, 7)


def test_all_mentions_come_first_and_what_stands_apart_last():
    assert list(mentions_of(Module())) == [
        *[(0, 1, 2), (2,), (1,), (0,)],
        *[(1, 2), (0, 1), (0, 2)],
    ]
    assert list(mentions_of(Sized())) == [(0,)]


@pytest.mark.parametrize("kind", [Own, Closed, nn.Linear, nn.Identity])
def test_of_other_forwards_none(kind):
    assert list(mentions_of(kind(2, 2) if kind is nn.Linear else kind())) == []


@pytest.mark.parametrize(
    "mentions, said", [((0, 1, 2), (5, 50, 2)), ((0,), (5, 70, 2)), ((1,), (7, 50, 2))]
)
def test_only_what_was_chosen_is_asked(mentions, said):
    module = Module()
    tell(module, mentions, 5)
    assert module(X) == said
    assert (type(module).__name__, type(module).__module__) == ("Module", __name__)
    assert isinstance(module, Module)
    assert Module()(X) == (7, 70, 2)


def test_defaults_and_copies_stay():
    module = Module()
    tell(module, (2,), 5)
    assert module(X, twice=False) == 5
    again = copy.deepcopy(module)
    again.heedful_width = 6
    assert (again(X, twice=False), module(X, twice=False)) == (6, 5)
    assert list(mentions_of(module)) == []


def test_equal_modules_have_one_class():
    one, other = Module(), Module()
    for module in (one, other):
        tell(module, (0,), 5)
    assert type(one) is type(other)


def test_a_pickle_is_not_made_of_it():
    module = Module()
    tell(module, (0,), 5)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(module)


def test_what_takes_no_width_cannot_be_told():
    with pytest.raises(AttributeError, match="Own takes no width from what comes in"):
        tell(Own(), (0,), 5)


def test_a_function_that_a_forward_calls_is_told_for_this_module_alone():
    module = Handing()
    assert functions_of(Handing) == {"doubled": doubled}
    assert functions_of(Module) == {}
    assert list(mentions_of(module)) == [(0,)]
    tell(module, (0,), 5)
    assert (module(X), module(X, more=2)) == (11, 12)
    assert (Handing()(X), doubled(X)) == (15, 14)
    again = copy.deepcopy(module)
    again.heedful_width = 6
    assert (again(X), module(X)) == (13, 11)
    assert list(mentions_of(module)) == []
