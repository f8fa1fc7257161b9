"""Where a classifier looked is what its own attention says."""

import numpy as np
import pytest
import torch

from heedful.nn.vision import Cbam
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_image.picture import maps_of
from heedful.tasks.classify_image.task import ClassifyImage
from heedful.training.start import build

SMALL = {"width": 4, "heads": 2, "stages": 2, "reduction": 2}
PATCHES = {"name": "vit", "patch": 2, "width": 8, "heads": 2, "layers": 1, "feedforward": 8}


def picture_of(square_files, model):
    data = {**square_files, "dev_examples": 20}
    config = parse_config({"task": "classify-image", "data": data, "model": model})
    examples = ClassifyImage.read(config).train
    task = ClassifyImage.fit(config, examples)
    torch.manual_seed(3)
    network = build(task).eval()
    answer = task.answer(network, task.encode(examples[:1]))[0]
    return task, network, examples[0], task.picture(network, examples[0], answer)


def test_cells_that_look_are_four(square_files):
    task, network, example, picture = picture_of(square_files, SMALL)
    assert [(each.row, each.column) for each in picture.maps] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    heard = {}
    look = network.look
    look.attention.register_forward_pre_hook(lambda _, given: heard.update(x=given[0]))
    with torch.no_grad():
        task.logits(network, task.encode([example]).batch([0], "cpu"))
        weights = look.attention.weights(heard["x"])[0].mean(0)
    for each in picture.maps:
        want = weights[4 * each.row + each.column].view(4, 4)
        assert np.allclose(each.weights, want, atol=1e-5)
    assert picture.title.endswith(tuple(f"→ {label}" for label in "0123"))
    assert np.array_equal(picture.pixels, task.encode([example]).pixels[0])


def test_a_pooling_looks_as_a_whole(square_files):
    task, network, example, picture = picture_of(square_files, PATCHES)
    (found,) = picture.maps
    assert picture.title.endswith(f"→ {found.word}")
    assert found.weights[found.row][found.column] == np.max(found.weights)
    want = task.pooling_weights(network, task.encode([example]))[0]
    assert np.allclose(np.ravel(found.weights), want / want.sum(), atol=1e-6)
    assert np.shape(found.weights) == (4, 4)


def test_weighed_pixels_are_shares(square_files):
    task, network, example, picture = picture_of(square_files, {**SMALL, "attention": "cbam"})
    (found,) = picture.maps
    assert np.shape(found.weights) == (4, 4)
    assert np.sum(found.weights) == pytest.approx(1, abs=1e-5)
    assert not any(each._forward_pre_hooks for each in network.modules() if isinstance(each, Cbam))
    assert maps_of(task, network, task.encode([example]), found.word) == picture.maps


@pytest.mark.parametrize("attention", ["none", "se"])
def test_who_weighs_no_places_shows_none(square_files, attention):
    assert picture_of(square_files, {**SMALL, "attention": attention})[3].maps == ()
