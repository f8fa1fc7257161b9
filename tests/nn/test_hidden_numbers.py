"""Padding may hold anything, NaN and inf included: no visible position of any module feels it.

Its gradient is another matter: padding is a query too, and a projection multiplies what it holds by
the gradient 0 of its output. A training needs numbers in its padding.
"""

import pytest
import torch

from heedful import Mask
from heedful.nn import (
    Attention,
    AttentionPooling,
    EncoderLayer,
    GatedAttention,
    LatentAttention,
    MixtureAttention,
    TransformerXLAttention,
)
from heedful.nn.co import AlternatingCoAttention, BidafAttention, ParallelCoAttention
from heedful.nn.fusion import (
    ConformerBlock,
    ConvolutionValues,
    GatedEma,
    GatedRecurrence,
    LocalConvolution,
)
from heedful.nn.vision import Axial, Cbam, Eca, NonLocal, Sagan, SqueezeExcitation

LENGTHS = torch.tensor([4, 7])
PADDING = torch.arange(7) >= LENGTHS[:, None]
WIDTH = {"width": 16}
SIZES = {"width": 16, "heads": 2}


def attention(**more):
    return Attention(**SIZES, **more)


MODULES = {
    "attention": lambda: attention(),
    "dropout": lambda: attention(dropout=0.1),
    "shared": lambda: attention(kv_heads=1),
    "pooling": lambda: AttentionPooling(**WIDTH),
    "gated": lambda: GatedAttention(attention()),
    "latent": lambda: LatentAttention(**SIZES, latent_dim=8),
    "mixture": lambda: MixtureAttention(attention(), shared=1, chosen=1),
    "encoder": lambda: EncoderLayer(attention(), **WIDTH, feedforward=8, norm="pre", dropout=0.0),
    "transformer_xl": lambda: TransformerXLAttention(**SIZES),
    "conformer": lambda: ConformerBlock(attention=attention(), **WIDTH, feedforward=8, kernel=3),
    "convolved values": lambda: attention(mechanism=ConvolutionValues(heads=2, dim=8, kernel=3)),
    "convolution": lambda: LocalConvolution(**WIDTH, kernel=3),
    "ema": lambda: GatedEma(**WIDTH, dim=8, hidden=8),
}
TEXTS = {
    "alternating": lambda: AlternatingCoAttention(context_width=16, query_width=16, hidden=8),
    "bidaf": lambda: BidafAttention(**WIDTH),
    "parallel": lambda: ParallelCoAttention(context_width=16, query_width=16, hidden=8),
}
IMAGES = {
    "axial": lambda: Axial(channels=16, heads=2),
    "cbam": lambda: Cbam(channels=16),
    "eca": lambda: Eca(channels=16),
    "non_local": lambda: NonLocal(channels=16),
    "sagan": lambda: Sagan(channels=16),
    "squeeze": lambda: SqueezeExcitation(channels=16),
}
numbers = pytest.mark.parametrize("number", [float("nan"), float("inf")])


def spoilt(x, where, number):
    return x.masked_fill(where, number)


def visible(x):
    """Of outputs that have a row a position, the rows of the text."""
    return x.masked_fill(PADDING[..., None], 0.0) if x.shape[1:2] == (7,) and x.ndim == 3 else x


def assert_same(module, x, where, number, outputs):
    with torch.no_grad():
        clean, other = (outputs(module, spoilt(x, where, put)) for put in (0.0, number))
    for one, two in zip(clean, other, strict=True):
        assert two.isfinite().all()
        torch.testing.assert_close(two, one)


@numbers
@pytest.mark.parametrize("name", MODULES)
def test_padding_of_a_text(name, number):
    torch.manual_seed(3)
    mask = Mask.lengths(LENGTHS)
    x = torch.randn(2, 7, 16)
    module = MODULES[name]().eval()
    assert_same(module, x, PADDING[..., None], number, lambda m, x: [visible(m(x, mask=mask))])


@numbers
def test_padding_of_a_recurrence(number):
    torch.manual_seed(3)
    module = GatedRecurrence(**SIZES, dim=8).eval()
    mask = Mask.lengths(LENGTHS) & Mask.causal()
    x = torch.randn(2, 7, 16)
    assert_same(module, x, PADDING[..., None], number, lambda m, x: [visible(m(x, mask=mask))])


@numbers
@pytest.mark.parametrize("name", TEXTS)
def test_padding_of_one_of_two_texts(name, number):
    torch.manual_seed(3)
    context, query = torch.randn(2, 7, 16), torch.randn(2, 5, 16)

    def outputs(module, x):
        found = module(x, query, context_mask=Mask.lengths(LENGTHS))
        return [visible(part) for part in found if part.shape[-1] != 7]

    assert_same(TEXTS[name]().eval(), context, PADDING[..., None], number, outputs)


@numbers
@pytest.mark.parametrize("name", IMAGES)
def test_pixels_that_are_no_part_of_an_image(name, number):
    torch.manual_seed(3)
    x, mask = torch.randn(2, 16, 5, 6), torch.rand(2, 5, 6) < 0.7
    module = IMAGES[name]().eval()
    outside = ~mask[:, None]

    def outputs(module, x):
        return [module(x, mask=mask).masked_fill(outside, 0.0)]

    assert_same(module, x, outside, number, outputs)
