"""A picture shows boxes, and where the queries of the surest looked."""

import numpy as np
import pytest
import torch

from heedful.models.detector import Detector
from heedful.tasks.detect.images import BoxedImages, Detection, Found
from heedful.tasks.detect.picture import FRAME, box_picture


def shown(**settings):
    torch.manual_seed(0)
    model = Detector(labels=2, channels=1, width=32, stride=4, heads=2, **settings).eval()
    pixels = np.random.default_rng(0).integers(0, 250, (1, 16, 24, 1), np.uint8)
    labels, boxes = np.full((1, 1), -1), np.zeros((1, 1, 4), np.float32)
    data = BoxedImages(pixels, labels, boxes, [(32, 48)], augment=False)
    sides = [(8, 4, 12, 20), (30, 20, 10, 8), (0, 0, 4, 4)]
    found = tuple(
        Found(label="a", x=x, y=y, width=w, height=h, score=score, query=query)
        for query, (score, (x, y, w, h)) in enumerate(zip((0.9, 0.7, 0.2), sides, strict=True))
    )
    return model, data, box_picture(model, data, Detection(found, least=0.5), title="two things")


def test_where_queries_looked_is_shown_for_boxes_that_are_sure():
    model, data, picture = shown()
    assert picture.title == "two things"
    assert [each.word for each in picture.maps] == ["a (90%)", "a (70%)"]
    heard = []
    attention = model.decoder[1].cross_attention
    attention.register_forward_hook(
        lambda module, given, named, out: heard.append(module.weights(*given, **named)),
        with_kwargs=True,
    )
    with torch.no_grad():
        model(data.batch([0], "cpu")[0])
    for query, each in enumerate(picture.maps):
        want = heard[0][0, :, query].mean(0).view(4, 6).numpy()
        assert np.array(each.weights) == pytest.approx(want, rel=1e-4)
        assert want[each.row, each.column] == pytest.approx(want.max())


def test_boxes_are_drawn_in_pixels_of_the_picture():
    pixels = np.array(shown()[2].pixels)
    assert pixels.shape == (16, 24, 3)
    drawn = (pixels == FRAME).all(2)
    assert drawn[2, 4:10].all()
    assert drawn[11, 4:10].all()
    assert drawn[2:12, [4, 9]].all()
    assert not drawn[3:11, 5:9].any()
    assert not drawn[:2, :2].any()


def test_without_a_decoder_there_is_no_picture():
    assert shown(decoder_layers=0)[2] is None
