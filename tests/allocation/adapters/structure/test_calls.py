"""Arguments are made by their names; of names that may mean heads nothing is assumed."""

import pytest
import torch
from torch import nn

from heedful.allocation.adapters.structure.calls import LENGTH, OTHER, calls_of, not_given
from heedful.errors import UnsupportedError


class Crossing(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(6, 8), nn.Linear(9, 8)

    def forward(self, hidden_states, key_value_states, position_embeddings, attention_mask=None):
        cos, sin = position_embeddings
        return self.q(hidden_states) * cos * sin, self.k(key_value_states)


def test_one_of_the_calls_runs():
    module = Crossing().double()
    for arguments in calls_of(module):
        try:
            looking, other = module(**arguments)
        except (RuntimeError, ValueError):
            continue
        assert looking.shape == (2, LENGTH, 8)
        assert other.shape == (2, OTHER, 8)
        assert "attention_mask" not in arguments
        return
    pytest.fail("no call ran")


def test_the_same_call_has_the_same_numbers():
    first, again = (next(calls_of(Crossing()))["hidden_states"] for _ in range(2))
    assert torch.equal(first, again)


class Strange(Crossing):
    def forward(self, hidden_states, head_weights):
        return hidden_states


class Handing(Crossing):
    def compute_bias(self):
        return 0

    def forward(self, hidden_states, position_bias=None):
        return hidden_states, position_bias


@pytest.mark.parametrize("kind, name", [(Strange, "head_weights"), (Handing, "position_bias")])
def test_refuses_what_may_belong_to_heads(kind, name):
    with pytest.raises(UnsupportedError, match=f"its forward takes {name}, of which nobody knows"):
        next(calls_of(kind()))


class Caching(Crossing):
    """As attention of transformers, of which 5.24 changed the name of the cache."""

    head_dim, rotary_dim = 6, 4

    def forward(self, hidden_states, position_embeddings, past_key_values=None, cache=None):
        return hidden_states, position_embeddings, past_key_values, cache


def test_a_cache_says_nothing_of_heads():
    for arguments in calls_of(Caching()):
        assert Caching()(**arguments)[2:] == (None, None)


def test_turns_come_for_as_few_pairs_as_turn():
    sizes = [
        x.shape[-1]
        for arguments in calls_of(Caching())
        if isinstance(pair := arguments["position_embeddings"], tuple)
        for x in pair
    ]
    assert {2, 3, 6, 12} == set(sizes) - {1}


class Windows(nn.Module):
    """Takes images, components first, and turns for all places but two."""

    num_prefix_tokens, head_dim, window_size, q_stride = 2, 4, 8, 3

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(6, 8)

    def forward(self, x, size, rope=None, is_causal=False):
        return x, size, rope


def test_images_come_in_every_form_with_their_rows_and_columns():
    shapes, sizes, turns = set(), set(), set()
    for arguments in calls_of(Windows()):
        shapes.add(tuple(arguments["x"].shape))
        sizes.add(arguments["size"])
        turns.add(tuple(arguments["rope"].shape) if "rope" in arguments else None)
        assert "is_causal" not in arguments
    assert {(2, 6, 6), (2, 2, 3, 6), (2, 6, 2, 3), (2, 3, 6, 6), (2, 48, 6)} <= shapes
    assert sizes == {(2, 3), (4, 4), (6, 8)}
    assert turns == {(4, 8), (14, 8), (46, 8), None}


def test_says_when_turns_were_not_given():
    module = Windows()
    first = next(calls_of(module))
    assert not not_given(module, first)
    assert not_given(module, {"x": first["x"]})
    assert not not_given(Handing(), {})


def test_tables_of_pairs_of_places_say_how_many_places_there_are():
    module = Crossing()
    for name, size in (("pairs", (9, 9)), ("flat", (49,)), ("other", (50,)), ("wide", (3, 4))):
        module.register_buffer(name, torch.zeros(size, dtype=torch.long))
    lengths = [x["hidden_states"].shape[1] for x in calls_of(module)]
    assert list(dict.fromkeys(lengths)) == [
        6,
        16,
        9,
        4,
        7,
    ]  # of a table that is not square, as many as are looked at


def test_convolutions_say_how_many_places_become_one():
    module = Crossing()
    module.fewer = nn.Conv2d(4, 4, 4, stride=(4, 2))
    lengths = [x["hidden_states"].shape[1] for x in calls_of(module)]
    assert list(dict.fromkeys(lengths)) == [6, 16]  # twice eight are sixteen
    module.fewer = nn.Conv2d(4, 4, 8, stride=8)
    assert {x["hidden_states"].shape[1] for x in calls_of(module)} == {6, 16, 128}
