"""One run of a module says which layer made what, and what asked for attention."""

import pytest
import torch
from torch import nn

from heedful.allocation.adapters.structure.products import Layout
from heedful.allocation.adapters.structure.scratch import scratch
from heedful.allocation.adapters.structure.trace import (
    NO_ATTENTION,
    channels,
    influence,
    own_buffers,
    own_parameters,
    traced,
)
from heedful.errors import UnsupportedError

from .toy import DIM, HEADS, WIDTH, Toy
from .vision import Beit, Einsum, ManyInOne, TimeFirst


def test_hears_layers_and_what_was_asked():
    trace = traced(scratch(Toy()))
    assert sorted(trace.layers) == ["k", "o", "q", "v"]
    (asked,) = trace.asked
    assert asked["query"].shape == (2, HEADS, 6, DIM)
    assert trace.mixed[0].shape == (2, 6, HEADS, DIM)
    assert trace.scale == pytest.approx(DIM**-0.5)
    assert (trace.core, trace.beside, trace.biases) == ("", {"": None}, {})
    assert torch.equal(trace.inputs["q"], trace.arguments["hidden_states"])
    assert sorted(influence(asked["query"], trace.layers)) == ["q"]
    assert sorted(influence(trace.inputs["o"], {"mixed": trace.mixed[0]})) == ["mixed"]


def test_a_scratch_copy_is_as_it_was_afterwards():
    module = scratch(Toy())
    x = torch.ones(1, 3, WIDTH, dtype=torch.float64)
    before = module(x)
    traced(module)
    assert torch.equal(module(x), before)


def test_biases_beside_layers_have_their_rows():
    module = Beit()
    rows = traced(scratch(module)).biases["qkv"]
    size = HEADS * DIM
    assert {name: (x[0].item(), len(x)) for name, x in rows.items()} == {
        "q_bias": (0, size),
        "k_bias": (size, size),
        "v_bias": (2 * size, size),
    }
    assert set(own_parameters(module, ["qkv", "proj"])) == {"q_bias", "k_bias", "v_bias", "table"}
    assert set(own_buffers(module)) == {"k_bias"}


def test_says_where_else_heads_may_stand():
    assert traced(scratch(Toy())).layouts() == [Layout(turned=True)]
    assert traced(scratch(TimeFirst())).layouts() == [Layout(turned=True)]
    assert traced(scratch(Einsum())).layouts() == [Layout(axis=2)]
    assert Layout(batch=6) in traced(scratch(ManyInOne())).layouts()


class Silent(Toy):
    def forward(self, hidden_states):
        return self.o(self.q(hidden_states))


class Twice(Toy):
    def given(self, mixed):
        return self.o(mixed) + self.o(mixed)


class Empty(nn.Module):
    def forward(self, hidden_states):
        return hidden_states


@pytest.mark.parametrize(
    "kind, reason",
    [
        (Silent, NO_ATTENTION),
        (Twice, "its o works twice in one call"),
        (Empty, "it could not be called alone, it takes nothing that could be looked at"),
    ],
)
def test_refuses(kind, reason):
    with pytest.raises(UnsupportedError, match=reason):
        traced(scratch(kind()))


def test_what_depends_on_nothing_has_no_influence():
    x, y = (torch.ones(2, 3, requires_grad=True) for _ in range(2))
    assert influence(torch.ones(2), {"x": x}) == {}
    assert list(influence(x * 2, {"x": x, "y": y})) == ["x"]
    weighed = influence(x * 2, {"x": x}, by=torch.tensor([[0.0, 1, 0]]).expand(2, 3))
    assert channels(weighed["x"]).tolist() == [1]
