"""Values beside their convolution: a mechanism like any other, around any other."""

import re

import pytest
import torch
from torch import nn
from torch.func import functional_call

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import Attention, KeyValueCache
from heedful.nn.fusion import ConvolutionValues
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.dot import dot_attention, dot_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.testing.claim import Claim
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle.fusion import conv_value
from heedful.testing.tolerance import assert_close


def draw(*shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


PLAIN = {size: ConvolutionValues(heads=size, dim=3, kernel=5) for size in (2, 4)}


def attend(query, key, value, *, mask, taps):
    given, tensors = {"taps": taps}, (query, key, value)
    return functional_call(PLAIN[len(taps)], given, tensors, {"mask": mask})


class Weights(nn.Module):
    def __init__(self, around):
        super().__init__()
        self.around = around

    def forward(self, query, key, *, mask):
        return self.around.weights(query, key, mask=mask)


def weigh(query, key, *, mask, taps):
    module = Weights(PLAIN[len(taps)])
    return functional_call(module, {"around.taps": taps}, (query, key), {"mask": mask})


def module(taps, **settings):
    """The module with these taps."""
    made = ConvolutionValues(heads=len(taps), dim=3, kernel=taps.shape[1], **settings)
    made.taps = nn.Parameter(taps)
    return made


class TestConvolutionValues(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=attend,
            weights=weigh,
            oracle=conv_value,
            extras={"taps": "heads kernel"},
            sizes={"kernel": 5},
            masks=("none", "full", "causal", "lengths", "empty_text", "both", "nothing"),
            normalised=False,
            positive=False,
            twice_differentiable=False,  # torch's fused kernel cannot
            permutation_invariant=False,
        )


class Dots(Mechanism):
    def __init__(self, *, heads, dim):
        super().__init__(heads=heads, dim=dim)

    def forward(self, query, key, value, *, mask=None):
        return dot_attention(query, key, value, mask=mask)

    def weights(self, query, key, *, mask=None):
        return dot_weights(query, key, mask=mask)


@pytest.mark.parametrize("mask", [None, Mask.causal(), Mask.lengths(torch.tensor([3, 7]))])
def test_at_first_nothing_changes(mask):
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
    plain = ConvolutionValues(heads=4, dim=3)
    assert plain.taps.shape == (4, 33)
    want = scaled_dot_attention(query, key, value, mask=mask)
    assert torch.equal(plain(query, key, value, mask=mask), want)
    assert torch.equal(
        plain.weights(query, key, mask=mask), scaled_dot_weights(query, key, mask=mask)
    )
    around = ConvolutionValues(heads=4, dim=3, mechanism=Dots(heads=4, dim=3))
    assert torch.equal(
        around(query, key, value, mask=mask), dot_attention(query, key, value, mask=mask)
    )
    assert torch.equal(around.weights(query, key, mask=mask), dot_weights(query, key, mask=mask))


def test_wraps_itself():
    taps = draw(4, 5, seed=4)
    query, key, value = draw(2, 4, 7, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
    twice = module(taps, mechanism=module(taps))(query, key, value)
    assert_close(twice, module(2 * taps)(query, key, value), roundings=50, largest=20.0)


def test_causal_taps_look_back_only():
    taps = torch.zeros(1, 5).double()
    query, value = torch.zeros(1, 1, 4, 3).double(), torch.tensor([1.0, 10, 100, 1000])
    value = value.double()[None, None, :, None]
    # two before, one before, here, one ahead, two ahead
    for tap, shown, causal in (
        (0, [0, 0, 1, 10], [0, 0, 1, 10]),
        (1, [0, 1, 10, 100], [0, 1, 10, 100]),
        (2, [1, 10, 100, 1000], [1, 10, 100, 1000]),
        (3, [10, 100, 1000, 0], [0, 0, 0, 0]),
        (4, [100, 1000, 0, 0], [0, 0, 0, 0]),
    ):
        one = taps.clone()
        one[0, tap] = 1.0
        for mask, want in ((None, shown), (Mask.causal(), causal)):
            plain = scaled_dot_attention(query, query, value, mask=mask)
            added = module(one)(query, query, value, mask=mask) - plain
            want = torch.tensor(want).double()
            assert_close(added[0, 0, :, 0], want, roundings=50, largest=1000.0)


def test_a_causal_mask_may_start_where_there_are_as_many_queries_as_keys():
    taps, x = draw(2, 5, seed=4), draw(2, 2, 7, 3)
    start = module(taps)(x, x, x, mask=Mask.causal(align="start"))
    assert torch.equal(start, module(taps)(x, x, x, mask=Mask.causal()))
    message = (
        "mask must align to the end where there are not as many queries as keys, because the "
        "convolution puts the last query at the last key, "
        "got Mask.causal(align='start') for queries=5, keys=7"
    )
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        module(taps)(x[:, :, :5], x, x, mask=Mask.causal(align="start"))


@pytest.mark.parametrize("queries", [3, 12])
def test_far_more_or_fewer_queries_than_keys(queries):
    # more than the kernel reaches, so that some queries have nothing near
    query, key, value = draw(1, 2, queries, 3), draw(1, 2, 12, 3, seed=2), draw(1, 2, 12, 4, seed=3)
    if queries == 12:
        key, value = key[:, :, :2], value[:, :, :2]
    taps = draw(2, 3, seed=4)
    one = module(taps)
    assert_close(
        one(query, key, value), one.weights(query, key) @ value, roundings=50, largest=10.0
    )


def test_each_head_may_see_other_keys():
    keep = torch.rand(2, 2, 1, 7, generator=torch.Generator().manual_seed(1)) < 0.6
    mask, one = Mask.dense(keep), module(draw(2, 5, seed=4))
    query, key, value = draw(2, 2, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
    before = one(query, key, value, mask=mask)
    changed = value.masked_fill(~keep.mT, 1e6)
    assert torch.equal(one(query, key, changed, mask=mask), before)
    assert_close(before, one.weights(query, key, mask=mask) @ value, roundings=50, largest=10.0)


def test_inside_attention_decoding_is_the_whole():
    mechanism = ConvolutionValues(heads=2, dim=3, kernel=5, mechanism=Dots(heads=2, dim=3))
    with torch.no_grad():
        mechanism.taps.copy_(draw(2, 5, seed=4))
    attention = Attention(width=6, heads=2, mechanism=mechanism).double()
    x, cache = draw(2, 9, 6), KeyValueCache()
    want = attention(x, mask=Mask.causal())
    with torch.no_grad():
        pieces = [
            attention(y, mask=Mask.causal(), cache=cache) for y in x.split([2, 1, 1, 3, 2], 1)
        ]
    assert_close(torch.cat(pieces, 1), want, roundings=100, largest=want.abs().max().item())
    want.sum().backward()
    assert (mechanism.taps.grad[:, 3:] == 0).all()  # what is ahead is never seen
    assert (mechanism.taps.grad[:, :3] != 0).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"kernel": 0}, "kernel must be at least 1, got 0"),
        ({"kernel": 4}, "kernel must be odd, got 4"),
        (
            {"mechanism": Dots(heads=4, dim=5)},
            "mechanism must have heads=2 and dim=3, got 4 and 5",
        ),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        ConvolutionValues(**{"heads": 2, "dim": 3} | settings)


def test_rejects_other_heads_and_shapes():
    one = ConvolutionValues(heads=4, dim=3)
    with pytest.raises(ShapeError, match="query must have 4 heads, got 1"):
        one(draw(2, 1, 5, 3), draw(2, 1, 7, 3), draw(2, 1, 7, 3))
    with pytest.raises(ShapeError, match="query must be 4-D"):
        one.weights(draw(2, 5, 3), draw(2, 1, 7, 3))
