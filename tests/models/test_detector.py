"""A detector says a label and a box for each query, from where the query stands."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.detector import Detector, QueryLayer
from heedful.nn import Attention


def made(**settings):
    torch.manual_seed(0)
    sizes = {"labels": 3, "channels": 1, "width": 32, "stride": 4, "heads": 2}
    return Detector(**{**sizes, **settings})


def images(height=16, width=16, rows=2):
    return torch.randn(rows, 1, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "settings, size, queries",
    [
        ({}, (16, 16), 16),
        ({"every": 2}, (16, 16), 4),
        ({"every": 3, "stride": 2}, (24, 36), 4 * 6),
        ({"every": 2}, (18, 31), 2 * 4),
        ({"every": 64}, (16, 16), 1),
    ],
)
def test_there_is_a_box_for_each_query(settings, size, queries):
    said = made(**settings)(images(*size))
    assert said.logits.shape == (2, 2, queries, 4)
    assert said.boxes.shape == (2, 2, queries, 4)


def test_boxes_begin_where_queries_stand_as_large_as_a_cell():
    boxes = made(every=2)(images(16, 32)).boxes[-1, 0]
    want = [[x, y, 1 / 4, 1 / 2] for y in (0.25, 0.75) for x in (0.125, 0.375, 0.625, 0.875)]
    torch.testing.assert_close(boxes, torch.tensor(want))


def test_layers_begin_as_the_identity():
    model, x = made(), images()
    without = made(encoder_layers=0, decoder_layers=0)
    kept = {k: v for k, v in model.state_dict().items() if k in without.state_dict()}
    without.load_state_dict(kept)
    torch.testing.assert_close(model(x).logits[1:], without(x).logits)


def test_images_do_not_depend_on_their_company():
    model, x = made().eval(), images()
    for whole, alone in zip(model(x), model(x[:1]), strict=True):
        torch.testing.assert_close(whole[:, :1], alone)


@pytest.mark.parametrize("encoder, decoder", [(0, 0), (0, 1), (2, 0), (1, 3)])
def test_layers_are_as_many_as_asked_for(encoder, decoder):
    model = made(encoder_layers=encoder, decoder_layers=decoder)
    assert len(model(images()).logits) == max(1, decoder)
    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    assert len(attentions) == encoder + 2 * decoder


def test_queries_look_at_each_other_and_at_the_image():
    layer = QueryLayer(width=8, heads=2, feedforward=16)
    queries, memory = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    first = layer(queries, memory)
    other = queries.clone()
    other[:, 2] = torch.randn(8)
    assert not torch.allclose(layer(other, memory)[:, 0], first[:, 0])
    assert not torch.allclose(layer(queries, memory + torch.randn(1, 5, 8))[:, 0], first[:, 0])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"labels": 0}, "labels must be at least 1, got 0"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"stride": 3}, "stride must be a power of 2, and width a multiple of 4 * stride, got"),
        ({"stride": 1}, "got stride=1, width=32"),
        ({"width": 24}, "got stride=4, width=24"),
        ({"heads": 5}, "heads must divide width, got heads=5, width=32"),
    ],
)
def test_refuses_sizes_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)
