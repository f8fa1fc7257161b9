"""The map of a `heedful.nn.Attention` is what the module itself says it is."""

import pytest
import torch

from heedful.mask import Mask
from heedful.nn import RelativePositions, RotaryPositions
from heedful.nn.attention import Attention
from heedful.nn.cache import KeyValueCache
from heedful.nn.co import CrossModalLayer
from heedful.nn.mechanisms import Differential
from heedful.nn.mechanisms.base import Mechanism
from heedful.nn.pooling import AttentionPooling
from heedful.ops.additive import additive_attention, additive_weights
from heedful.probing.probe import probe
from heedful.testing import tolerance

BAND = {"roundings": tolerance.roundings(torch.float32, 8, 24, 7), "largest": 1.0}


class Additive(Mechanism):
    def __init__(self, *, heads, dim):
        super().__init__(heads=heads, dim=dim)
        self.vector = torch.nn.Parameter(torch.linspace(-2, 3, heads * dim).view(heads, dim))

    def forward(self, query, key, value, *, mask=None):
        return additive_attention(query, key, value, score_weight=self.vector, mask=mask)

    def weights(self, query, key, *, mask=None):
        return additive_weights(query, key, score_weight=self.vector, mask=mask)


def make(**settings):
    torch.manual_seed(0)
    return Attention(width=24, heads=6, **settings).eval()


def text(length, seed=1):
    return torch.randn(2, length, 24, generator=torch.Generator().manual_seed(seed))


LENGTHS = Mask.lengths(torch.tensor([7, 0]))
KINDS = {
    "plain": ({}, None),
    "causal": ({}, Mask.causal()),
    "padded": ({"kv_heads": 2}, LENGTHS),
    "window": ({"kv_heads": 3}, Mask.window(3) & Mask.lengths(torch.tensor([7, 4]))),
    "rotary": ({"positions": RotaryPositions(4)}, Mask.causal()),
    "mechanism": ({"mechanism": Additive(heads=6, dim=4)}, Mask.causal()),
    "norm behind": ({"mechanism": Differential(heads=6, dim=4)}, Mask.causal()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_map_is_what_the_module_says(kind):
    settings, mask = KINDS[kind]
    module, x = make(**settings), text(7)
    want = module(x, mask=mask)
    with probe(module) as p:
        assert torch.equal(module(x, mask=mask), want)
    actual = p.maps("")
    tolerance.assert_close(actual, module.weights(x, mask=mask).double(), **BAND)
    assert not actual.requires_grad
    assert p.fidelity()[""].error < 1e-6


def test_relative_positions_are_in_the_map():
    module, x = make(positions=RelativePositions(6)), text(7)
    torch.nn.init.normal_(module.positions.table)
    with probe(module) as p:
        module(x)
    tolerance.assert_close(p.maps(""), module.weights(x).double(), **BAND)


def test_cross_attention_and_a_cache_are_heard_step_by_step():
    module, x, memory = make(), text(5), text(9, seed=2)
    cache, cross = KeyValueCache(), KeyValueCache()
    with torch.inference_mode(), probe(module) as p:
        for step in range(5):
            module(x[:, step : step + 1], mask=Mask.causal(), cache=cache)
        module(x, memory, cache=cross)
        module(x[:, :2], cache=cross, context=memory)
    whole = module.weights(x, mask=Mask.causal())
    for step in range(5):
        want = whole[:, :, step : step + 1, : step + 1]
        tolerance.assert_close(p.maps("", call=step), want.double(), **BAND)
    tolerance.assert_close(p.maps("", call=5), module.weights(x, memory).double(), **BAND)
    assert [call.shape for call in p.calls("")][4:] == [(2, 6, 1, 5), (2, 6, 5, 9), (2, 6, 2, 9)]
    assert p.statistics(call=5)[""].rows.tolist() == [10] * 6


@pytest.mark.parametrize("kind", ["padded", "mechanism", "window"])
def test_chosen_heads_and_rows_are_those_of_the_whole_map(kind):
    settings, mask = KINDS[kind]
    module, x = make(**settings), text(7)
    with probe(module) as whole, probe(module, heads=[5, 1], rows=[-1, 2]) as few:
        module(x, mask=mask)
    want = whole.maps("")[:, [5, 1]][:, :, [6, 2]]
    tolerance.assert_close(few.maps(""), want.double(), **BAND)
    assert few.calls("")[0].heads == (5, 1)
    assert few.calls("")[0].rows == [6, 2]
    assert few.calls("")[0].queries == 7
    assert few.fidelity()[""].error < 1e-6


def test_a_mechanism_is_kept_as_it_was():
    module, x = make(mechanism=Additive(heads=6, dim=4)), text(7)
    want = module.weights(x)
    with probe(module) as p:
        module(x)
    with torch.no_grad():
        module.mechanism.vector.mul_(-1)
    assert not torch.equal(module.weights(x), want)
    assert torch.equal(p.maps(""), want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    module, x = make().to(dtype), text(7).to(dtype)
    with torch.no_grad(), probe(module) as p:
        module(x, mask=Mask.causal())
    error = p.fidelity()[""].error
    assert error < 8 * torch.finfo(dtype).eps
    assert p.maps("").dtype == torch.promote_types(dtype, torch.float32)


def test_dropout_cannot_be_judged():
    module, x = make(dropout=0.5).train(), text(7)
    torch.manual_seed(3)
    want = module(x)
    with probe(module) as p:
        torch.manual_seed(3)
        assert torch.equal(module(x), want)
    assert p.fidelity()[""].error is None
    assert p.fidelity()[""].reason == "dropout was active"
    tolerance.assert_close(p.maps(""), module.weights(x).double(), **BAND)


@pytest.mark.parametrize("mask", [None, LENGTHS], ids=["all", "lengths"])
@pytest.mark.parametrize("mechanism", [None, Additive], ids=["scaled_dot", "additive"])
def test_pooling_shows_where_its_queries_look(mechanism, mask):
    torch.manual_seed(0)
    made = None if mechanism is None else mechanism(heads=3, dim=8)
    module, x = AttentionPooling(width=24, queries=5, heads=3, mechanism=made), text(7)
    want = module(x, mask=mask)
    with probe(module) as p:
        assert torch.equal(module(x, mask=mask), want)
    assert p.maps("").shape == (2, 3, 5, 7)
    tolerance.assert_close(p.maps(""), module.weights(x, mask=mask).double(), **BAND)
    assert p.fidelity()[""].error < 1e-6
    assert not {"forward", "mix"} & vars(module).keys()


def test_both_directions_of_a_cross_modal_layer_are_sites():
    torch.manual_seed(0)
    module = CrossModalLayer(first_width=24, second_width=24, heads=3, dim=5).eval()
    first, second, mask = text(7), text(4, seed=2), Mask.lengths(torch.tensor([3, 4]))
    want = module(first, second, second_mask=mask)
    with probe(module) as p:
        assert torch.equal(module(first, second, second_mask=mask).first, want.first)
    weights = module.weights(first, second, second_mask=mask)
    assert p.sites == ["first_attention", "second_attention"]
    for name, shares in zip(p.sites, weights, strict=True):
        tolerance.assert_close(p.maps(name), shares.double(), **BAND)
        assert p.fidelity()[name].error < 1e-6
