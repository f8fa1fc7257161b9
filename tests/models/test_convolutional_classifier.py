"""Convolutional classifiers: company cannot matter, attention stands where the papers put it."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.models.convolutional_classifier import ConvolutionalClassifier, ResidualBlock
from heedful.nn.vision import Cbam, SqueezeExcitation
from heedful.testing.tolerance import assert_close

KINDS = ("none", "se", "cbam", "self-attention")
every_kind = pytest.mark.parametrize("kind", KINDS)


def build(kind, **changed):
    settings = {"classes": 5, "channels": 3, "size": 9, "width": 4, "stages": 3, "reduction": 2}
    torch.manual_seed(1)
    return ConvolutionalClassifier(attention=kind, **settings | {"heads": 2} | changed).double()


def images(count=4):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, 3, 9, 9, generator=generator, dtype=torch.float64)


@every_kind
@torch.no_grad()
def test_company_in_a_batch_cannot_matter(kind):
    model, given = build(kind).eval(), images()
    together = model(given)
    assert together.shape == (4, 5)
    for row in range(4):
        alone = model(given[row : row + 1])[0]
        assert_close(together[row], alone, roundings=1000, largest=together.abs().max().item())


@every_kind
@pytest.mark.parametrize("blocks", [1, 2])
def test_every_parameter_learns(kind, blocks):
    model = build(kind, blocks=blocks)
    model(images()).square().sum().backward()
    still = [key for key, each in model.named_parameters() if not each.grad.abs().sum() > 0]
    assert [key for key in still if not key.endswith("key.bias")] == []  # softmax ignores those


@torch.no_grad()
def test_the_last_stage_has_its_cells_and_four_times_the_channels():
    model = build("self-attention", width=4, stages=3, size=9).eval()
    seen = {}
    model.look.register_forward_hook(lambda module, given, made: seen.update(cells=given[0].shape))
    model(images(2))
    assert seen["cells"] == (2, 16, 3, 3)
    assert model.look.positions.max_length == 9


@torch.no_grad()
def test_cells_learn_where_they_stand():
    model = build("self-attention").eval()
    model.look.positions.table.zero_()
    x = torch.randn(2, 16, 3, 3, dtype=torch.float64)
    mirrored = model.look(x.flip(3)).flip(3)
    assert_close(mirrored, model.look(x), roundings=1000, largest=x.abs().max().item())
    torch.nn.init.normal_(model.look.positions.table)
    assert not torch.allclose(model.look(x.flip(3)).flip(3), model.look(x))


@pytest.mark.parametrize(
    "weigh", [None, SqueezeExcitation(channels=6, reduction=2), Cbam(channels=6, reduction=3)]
)
@torch.no_grad()
def test_attention_weighs_what_a_block_adds(weigh):
    block = ResidualBlock(4, 6, stride=2, weigh=weigh).eval()
    x = torch.randn(2, 4, 5, 5)
    added = block.second(torch.relu(block.first(x)))
    weights = 1 if weigh is None else weigh.weights(added)
    if isinstance(weigh, SqueezeExcitation):
        added = added * weights[:, :, None, None]
    elif weigh is not None:
        added = added * weights.channels[:, :, None, None] * weights.pixels[:, None]
    want = torch.relu(added + block.skip(x[..., ::2, ::2]))
    assert_close(block(x), want, roundings=100, largest=want.abs().max().item())
    assert ResidualBlock(4, 4, stride=1, weigh=None).skip is None


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"attention": "eca"}, "attention must be one of none, se, cbam, self-attention, got 'eca"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"stages": 0}, "stages must be at least 1, got 0"),
        ({"attention": "se", "reduction": 3}, "reduction must be at least 1 and divide channels"),
        ({"attention": "self-attention", "heads": 3}, "heads must divide width, got heads=3"),
    ],
)
def test_refuses_settings(changed, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(changed.pop("attention", "none"), **changed)


@pytest.mark.parametrize("shape", [(2, 3, 9, 8), (2, 1, 9, 9), (3, 9, 9)])
def test_refuses_images_of_another_size(shape):
    message = f"images must be (batch, 3, 9, 9), got shape {shape}"
    with pytest.raises(ShapeError, match=re.escape(message)):
        build("none")(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("size", [7, 8])
def test_a_smaller_block_skips_by_a_strided_convolution(size):
    block = ResidualBlock(3, 5, stride=2, weigh=None).eval().double()
    torch.nn.init.zeros_(block.second[0].weight)
    images = torch.rand(2, 3, size, size, dtype=torch.float64)
    convolve, norm = block.skip
    expected = norm(torch.nn.functional.conv2d(images, convolve.weight, stride=2)).relu()
    torch.testing.assert_close(block(images), expected)
