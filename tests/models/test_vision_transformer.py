"""Vision Transformers: every mechanism mixes the patches, and the pooling weighs them."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.models.vision_transformer import VisionTransformer, build_mechanism
from heedful.nn.mechanisms import MECHANISMS
from heedful.testing.tolerance import assert_close


def build(mechanism="scaled_dot", **changed):
    settings = {"classes": 5, "channels": 3, "size": 12, "patch": 3, "width": 8, "heads": 2}
    settings |= {"layers": 2, "feedforward": 10, "mechanism": mechanism}
    torch.manual_seed(1)
    return VisionTransformer(**settings | changed)


def images(count=3):
    return torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_learns_and_company_cannot_matter(mechanism):
    model = build(mechanism)
    model(images()).square().sum().backward()
    assert all(each.grad.isfinite().all() for each in model.parameters() if each.grad is not None)
    assert model.embed.weight.grad.abs().sum() > 0
    model.eval()
    with torch.no_grad():
        together = model(images())
        alone = torch.cat([model(image[None]) for image in images()])
    assert_close(together, alone, roundings=1000, largest=together.abs().max().item())


@torch.no_grad()
def test_it_is_what_its_formula_says():
    model = build(layers=1).eval()
    image = images(1)
    patches = [
        (model.embed.weight * image[0, :, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3])
        .sum((1, 2, 3))
        .add(model.embed.bias)
        for row in range(4)
        for column in range(4)
    ]
    x = torch.stack(patches)[None] + model.positions.table
    pooled = model.pooling(model.norm(model.layers[0](x)))[:, 0]
    assert_close(model(image), model.out(pooled), roundings=1000, largest=x.abs().max().item())


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"patch": 5}, "patch must divide the size of the images, got patch=5, size=12"),
        ({"patch": 0}, "patch must divide the size of the images, got patch=0, size=12"),
        ({"heads": 3}, "heads must divide width, got heads=3, width=8"),
        ({"mechanism": "magic"}, "window, got 'magic'"),
    ],
)
def test_refuses_settings(changed, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(**changed)


def test_refuses_images_of_another_size():
    message = "images must be (batch, 3, 12, 12), got shape (2, 3, 11, 12)"
    with pytest.raises(ShapeError, match=re.escape(message)):
        build()(torch.zeros(2, 3, 11, 12))


def test_scaled_dot_products_need_no_module():
    assert build_mechanism("scaled_dot", heads=2, dim=4, side=3) is None
    assert build_mechanism("neighbourhood", heads=2, dim=4, side=3).shape == (3, 3)
