"""Why pixels have their labels: the cells of the image, whatever its size."""

import numpy as np
import pytest
import torch

from heedful.explaining.occlusion import occlusion
from heedful.explaining.scores import log_odds
from heedful.tasks.segment.masks import SegmentedImage

pytest.importorskip("scipy", reason="the extra images is not installed")


@pytest.fixture
def asked(ask):
    data, small = {"examples": 12, "dev": 4, "test": 4}, {"width": 4, "halvings": 2, "heads": 2}
    return lambda **model: ask("segment", data=data, model={**small, **model})


def mask_of(size, *labels):
    mask = np.zeros(size, np.uint8)
    for row, label in enumerate(labels):
        mask[4 * row : 4 * row + 3, 5:11] = label
    return SegmentedImage(mask, size)


def whole(question):
    return torch.ones(1, len(question.pieces), dtype=torch.bool)


def test_a_label_has_the_mean_odds_of_the_pixels_that_got_it(asked):
    task, model, example, _ = asked()
    question = task.question(model, example, mask_of((48, 48), 1))
    with torch.no_grad():
        logits = model(task.encode([example]).batch([0], "cpu")[0])[0]
        scores = question.scores(model, question.inputs(whole(question)))
    odds = [
        log_odds(logits[:, row, column], torch.tensor(1))
        for row in range(3)
        for column in range(5, 11)
    ]
    assert question.targets == ("label 1",)
    torch.testing.assert_close(scores, torch.stack(odds).mean()[None, None])


def test_every_label_is_a_target_and_nothing_is_one(asked):
    task, model, example, _ = asked()
    assert task.question(model, example, mask_of((48, 48), 1)).targets == ("label 1",)
    assert task.question(model, example, mask_of((48, 48))).targets == ("label 0",)


def test_what_is_removed_has_the_mean_colour_and_the_rest_is_standardised(asked):
    question = asked().question
    kept = whole(question)
    kept[0, 9] = False  # the second row, the second column
    pixels = question.canvas.astype(np.float64)
    pixels[6:12, 6:12] = pixels.mean((0, 1))
    expected = (pixels - pixels.mean()) / (pixels.std(ddof=1) + 1)
    found = question.inputs(kept)[0].permute(1, 2, 0).double().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("halvings", [2, 5])
def test_cells_can_be_removed_one_by_one(asked, halvings):
    _, model, _, question = asked(halvings=halvings)
    assert question.route is None
    assert np.abs(occlusion(model, question).weights).max() > 0
