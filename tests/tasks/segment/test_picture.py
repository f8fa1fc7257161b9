"""A picture shows outlines of what was found, and what each gate lets through."""

import numpy as np
import pytest
import torch

from heedful.data.segments import Segments
from heedful.models.unet import UNet
from heedful.tasks.segment.masks import SegmentedImage, SegmentImages
from heedful.tasks.segment.picture import OUTLINE, gate_picture, outline

SIDE = 32


def made(**settings):
    torch.manual_seed(1)
    model = UNet(channels=1, classes=2, width=4, halvings=3, heads=2, **settings).eval()
    for gate in model.gates:
        torch.nn.init.normal_(gate.score.weight)
    return model


def shown(model):
    pixels = np.random.default_rng(0).integers(0, 250, (1, SIDE, SIDE, 1), np.uint8)
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    mask[0, 4:9, 6:20] = 1
    data = SegmentImages(Segments(pixels, mask, [(SIDE, SIDE)]), augment=False)
    answer = SegmentedImage(mask[0], (SIDE, SIDE))
    return gate_picture(model, data, answer, title="a disc"), data


def test_every_gate_is_shown_the_finest_first():
    model = made()
    picture, data = shown(model)
    assert [each.word.partition(" (")[0] for each in picture.maps] == [
        f"the gate of {side} x {side}" for side in (32, 16, 8)
    ]
    assert picture.title == "a disc"
    for each in picture.maps:
        weights = np.array(each.weights)
        assert weights.sum() == pytest.approx(1)
        assert weights.min() == 0
        assert weights[each.row, each.column] == weights.max()
    assert not any(gate._forward_pre_hooks for gate in model.gates)
    heard = []
    model.gates[2].register_forward_hook(
        lambda gate, given, out: heard.append(gate.weights(*given))
    )
    with torch.no_grad():
        model(data.batch([0], "cpu")[0])
    want = heard[0][0, 0].numpy()
    found = np.array(picture.maps[0].weights)
    assert np.corrcoef(found.ravel(), want.ravel())[0, 1] == pytest.approx(1, abs=1e-6)
    assert f"({want.min():.2f} to {want.max():.2f})" in picture.maps[0].word


def test_parts_are_outlined():
    picture, data = shown(made())
    pixels = np.array(picture.pixels)
    edge = (pixels == OUTLINE).all(2)
    assert edge.sum() == 2 * 14 + 2 * 3
    assert edge[4, 6:20].all()
    assert not edge[5:8, 7:19].any()
    assert np.array_equal(pixels[~edge][:, 0], data.segments.pixels[0, ~edge, 0])


def test_without_gates_there_is_no_picture():
    assert shown(made(gates=False))[0] is None


def test_labels_that_touch_are_outlined_apart():
    mask = np.array([[1, 1, 1, 2, 2, 2]] * 3 + [[0] * 6], np.uint8)
    assert outline(mask).astype(int).tolist() == [[1] * 6, [1, 0, 1, 1, 0, 1], [1] * 6, [0] * 6]
