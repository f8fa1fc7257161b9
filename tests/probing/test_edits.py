"""A weight that is cut is 0, and all others are what they were, whoever's attention it is."""

from functools import partial

import pytest
import torch
from torch import nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn.aligners import ALIGNERS
from heedful.nn.attention import Attention
from heedful.nn.mechanisms.differential import Differential
from heedful.probing import edits as module
from heedful.probing.edits import Edge, cut
from heedful.probing.probe import probe
from heedful.probing.replace import replaced

EDGES = [Edge("own", 0, 1, 2, 3, 4), Edge("own", 0, 1, 0, 3, 2), Edge("own", 0, 0, 1, 0, 0)]


class Own(nn.Module):
    """One site, called as often as asked."""

    def __init__(self, own):
        super().__init__()
        self.own = own

    def forward(self, x, times=1):
        for _ in range(times):
            x = x + self.own(x)
        return x


class Plain(nn.Module):
    """`nn.MultiheadAttention` that looks at itself."""

    def __init__(self, **settings):
        super().__init__()
        torch.manual_seed(0)
        self.own = nn.MultiheadAttention(12, 3, **settings)

    def forward(self, x):
        if not self.own.batch_first:
            x = x.transpose(0, 1)
        found = self.own(x, x, x, need_weights=False)[0]
        return found if self.own.batch_first else found.transpose(0, 1)


def drawn(module=None, seed=0):
    torch.manual_seed(seed)
    model = module or Own(Attention(width=12, heads=3))
    return model.double().eval(), torch.randn(2, 5, 12).double()


def without(call, edges, query, key, value, mask, bias=None):
    """The weights as they are stored, those of edges set to 0; `call` counts."""
    weights = (query @ key.mT / query.shape[3] ** 0.5).softmax(-1)
    for edge in edges:
        if edge.call == call[0]:
            weights[edge.batch, edge.head, edge.row, edge.key] = 0.0
    call[0] += 1
    return weights @ value


@pytest.mark.parametrize("call", [0, 1])
@torch.no_grad()
def test_it_is_a_weight_that_is_0(call):
    model, x = drawn()
    edges = [edge._replace(call=call) for edge in EDGES]
    with replaced(model.own, "mix", partial(without, [0], edges)):
        expected = model(x, times=2)
    with cut(model, edges):
        found = model(x, times=2)
    torch.testing.assert_close(found, expected)
    assert (found - model(x, times=2)).abs().max() > 1e-3


@torch.no_grad()
def test_shared_keys_and_values_are_cut_for_one_head():
    model, x = drawn(Own(Attention(width=12, heads=6, kv_heads=2)))
    edge = Edge("own", 0, 1, 4, 2, 3)
    with probe(model) as heard:
        whole = model(x)
    call = heard.calls("own")[0]
    lost = torch.zeros(2, 6, 5, 2).double()
    lost[1, 4, 2] = heard.maps("own")[1, 4, 2, 3] * call.value[1, 1, 3]
    with cut(model, [edge]):
        found = model(x)
    expected = whole - nn.functional.linear(lost.transpose(1, 2).flatten(2), model.own.out.weight)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("batch_first", [True, False])
@torch.no_grad()
def test_modules_of_torch_are_cut_behind_their_projection(batch_first):
    model, x = drawn(Plain(batch_first=batch_first))
    own = Attention(width=12, heads=3).double()
    parts = model.own.in_proj_weight.chunk(3)
    for name, weight in zip(("query", "key", "value"), parts, strict=True):
        getattr(own, name).weight.copy_(weight)
    own.out.weight.copy_(model.own.out_proj.weight)
    ours = Own(own).eval()
    with cut(ours, EDGES):
        expected = ours(x) - x
    with cut(model, EDGES):
        found = model(x)
    torch.testing.assert_close(found - model.own.out_proj.bias, expected)


@torch.no_grad()
def test_a_fused_layer_is_left_alone_meanwhile():
    layer = nn.TransformerEncoderLayer(12, 3, 8, dropout=0.0, batch_first=True)
    model, x = drawn(nn.Sequential(layer))
    edges = [edge._replace(site="0.self_attn") for edge in EDGES]
    before = torch.backends.mha.get_fastpath_enabled()
    with cut(model, edges):
        found = model(x)
    assert torch.backends.mha.get_fastpath_enabled() == before
    assert (found - model(x)).abs().amax((1, 2)).min() > 1e-4


@torch.no_grad()
def test_aligners_give_the_weights_themselves():
    torch.manual_seed(0)
    aligner = ALIGNERS["dot"](query_width=4, key_width=4, hidden=4).double().eval()
    memory = torch.randn(2, 5, 4).double()
    query, mask = torch.randn(2, 1, 4).double(), Mask.full()

    class Asked(nn.Module):
        def __init__(self):
            super().__init__()
            self.own = aligner

        def forward(self, query):
            return self.own(query, self.own.prepare(memory), mask=mask)

    model = Asked()
    whole = model(query).clone()
    with cut(model, [Edge("own", 0, 1, 0, 0, 3)]):
        found = model(query)
    whole[1, 0, 3] = 0.0
    torch.testing.assert_close(found, whole)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"head": 3}, "head must be in 0 to 2 at own, got 3"),
        ({"row": 5}, "row must be in 0 to 4 at own, got 5"),
        ({"key": -1}, "key must be in 0 to 4 at own, got -1"),
        ({"batch": 2}, "batch must be in 0 to 1 at own, got 2"),
        ({"call": 1}, "call of own must be below 1, got 1"),
        ({"site": "owl"}, "sites must match one of own, got 'owl'"),
    ],
)
def test_rejects_edges_that_are_not_there(change, message):
    model, x = drawn()
    with pytest.raises(ConfigError, match=message), cut(model, [EDGES[0]._replace(**change)]):
        model(x)


def test_rejects_what_is_not_linear_behind_the_weights():
    mechanism = Differential(heads=3, dim=4)
    model, x = drawn(Own(Attention(width=12, heads=3, mechanism=mechanism)))
    with (
        pytest.raises(UnsupportedError, match="must be linear for a weight to be cut"),
        cut(model, EDGES[:1]),
    ):
        model(x)


def test_rejects_a_site_that_goes_on_with_a_copy():
    recording = module._Cutting(["own"], {("own", 0): EDGES[:1]})
    model, x = drawn()
    with probe(model) as heard, torch.no_grad():
        model(x)
    with pytest.raises(UnsupportedError, match="own must go on with what it mixed, got a copy"):
        recording.record("own", lambda: heard.calls("own")[0], x, lambda output: output.clone())
