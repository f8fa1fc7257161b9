"""A vector stands in the place of all heads only where nothing else would go with them."""

import copy

import pytest
import torch
from torch import nn

from heedful.allocation.adapters._transformers_sites import Dropped
from heedful.allocation.adapters.structure.dropping import CLOSED, check_dropped, drop
from heedful.allocation.adapters.structure.find import find
from heedful.errors import UnsupportedError

from .toy import HEADS, WIDTH, Toy

VECTOR = torch.arange(float(WIDTH))


class Pair(Toy):
    """Gives its weights beside its output."""

    def forward(self, hidden_states):
        return super().forward(hidden_states), None, None


class Inside(nn.Module):
    """The attention in a module of its own, behind which its heads are joined."""

    def __init__(self):
        super().__init__()
        self.inner, self.o = Toy(), nn.Linear(HEADS * 4, WIDTH)
        self.inner.o = nn.Identity()

    def forward(self, hidden_states):
        return self.o(self.inner(hidden_states)) + hidden_states


class Listed(Toy):
    """Gives its output in a list, to which the model around it adds another."""

    def forward(self, hidden_states):
        return [super().forward(hidden_states)]


@pytest.mark.parametrize("kind, beside", [(Toy, None), (Pair, (None, None)), (Listed, [])])
def test_gives_the_vector_as_the_module_gave_its_own(kind, beside):
    module = kind()
    dropped = drop(module, find(module), VECTOR)
    given = dropped(torch.ones(2, 5, WIDTH))
    assert (None if beside is None else given[1:]) == beside
    assert torch.equal(given if beside is None else given[0], VECTOR.expand(2, 5, WIDTH))
    assert check_dropped(kind(), find(kind()))


def test_what_stands_around_the_heads_stays():
    module = Inside()
    assert check_dropped(copy.deepcopy(module), find(module))
    dropped = drop(module, find(module), VECTOR)
    assert dropped is module
    assert (getattr(module, CLOSED), type(module.inner)) == (True, Dropped)
    x = torch.ones(2, 5, WIDTH)
    assert torch.equal(dropped(x), VECTOR + x)


class Residual(Toy):
    """Adds what came in, which would go with its heads."""

    def given(self, mixed):
        return self.o(mixed) + self.x

    def made(self, x):
        self.x = x
        return super().made(x)


class Cached(Toy):
    """Takes a cache, and does not say which layer of it is its own."""

    def forward(self, hidden_states, past_key_values=None):
        return super().forward(hidden_states)


class Numbered(Cached):
    layer_idx = 1


@pytest.mark.parametrize(
    "kind, reason",
    [
        (Residual, "what it does besides attention would go with its heads"),
        (Cached, "nobody knows which layer of a cache is its own"),
    ],
)
def test_refuses(kind, reason):
    module = kind()
    with pytest.raises(UnsupportedError, match=reason):
        check_dropped(module, find(module))


def test_which_layer_of_a_cache_is_told():
    assert check_dropped(Numbered(), find(Numbered()))
    assert drop(Numbered(), find(Numbered()), VECTOR).layer == 1
