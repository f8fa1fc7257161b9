"""Images as a data set, and what made ones are worth."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from heedful.data.images import ImageReference, Source
from heedful.errors import DataError
from heedful.tasks.generate_image.images import (
    ImageScores,
    LabelledImages,
    MadeImage,
    image_metrics,
    read_images,
)


@pytest.fixture
def source(square_files):
    return Source(square_files["train"], labels=square_files["train_labels"])


def test_batches_hold_images_labels_and_seeds(source):
    references = source.references()[:6]
    data = read_images(source, references, ["0", "1", "2", "3"])
    images, labels, seeds = data.batch([4, 1], "cpu")
    want = source.load([references[4], references[1]])[..., 0] / 127.5 - 1
    torch.testing.assert_close(images[:, 0], torch.from_numpy(want).float())
    assert labels.tolist() == [0, 1]
    assert seeds.tolist() == [4, 1]
    assert data.sizes.tolist() == [[1]] * 6
    assert data.amounts.tolist() == [1] * 6


def test_only_training_mirrors_and_the_generator_decides_which(source):
    data = read_images(source, source.references()[:40], ["0", "1", "2", "3"], flip=True)
    rows = range(40)
    plain = data.batch(rows, "cpu")[0]
    mirrored = data.batch(rows, "cpu", random=np.random.default_rng(2))[0]
    again = data.batch(rows, "cpu", random=np.random.default_rng(2))[0]
    assert torch.equal(mirrored, again)
    flipped = [torch.equal(one, other.flip(2)) for one, other in zip(mirrored, plain, strict=True)]
    same = [torch.equal(one, other) for one, other in zip(mirrored, plain, strict=True)]
    assert all(a != b for a, b in zip(flipped, same, strict=True))
    assert 10 < sum(flipped) < 30
    assert torch.equal(data.batch(rows, "cpu")[0], plain)  # nothing was changed in place
    unflipped = replace(data, flip=False)
    assert torch.equal(unflipped.batch(rows, "cpu", random=np.random.default_rng(2))[0], plain)


def test_a_fingerprint_changes_with_any_pixel_or_label():
    data = LabelledImages(
        pixels=np.zeros((2, 3, 3, 1), np.uint8),
        labels=np.array([0, 1]),
        seeds=np.array([0, 1]),
        known=np.ones(2, bool),
        flip=False,
    )
    other = replace(data, pixels=data.pixels + np.eye(3, dtype=np.uint8)[:, :, None])
    prints = [each.fingerprint() for each in (data, other, replace(data, labels=np.array([1, 0])))]
    assert len(set(map(tuple, prints))) == 3


def test_an_example_without_a_file_is_black(source):
    references = [ImageReference("", 0, "3", seed=9), source.references()[0]]
    data = read_images(source, references, ["0", "1", "2", "3"], (8, 8, 1))
    assert data.known.tolist() == [False, True]
    assert data.pixels.reshape(2, -1).max(1).tolist()[0] == 0 < data.pixels[1].max()


def test_what_does_not_fit_is_refused(source):
    references = source.references()[:2]
    with pytest.raises(DataError, match="images must be given to learn from, got none"):
        read_images(source, [ImageReference("", 0, "3")], ["3"])
    want = "images must be square and as large as in training, (9, 9, 1), got (8, 8, 1)"
    with pytest.raises(DataError, match=re.escape(want)):
        read_images(source, references, ["0", "1"], (9, 9, 1))
    with pytest.raises(DataError, match="image 1, must show one of 0, 5, got 1"):
        read_images(source, references, ["0", "5"])


def made(label, *, predicted, features, nearest, original=(0.0, 0.0), distance=0.5):
    return MadeImage(
        pixels=np.full((1, 2, 1), 7, np.uint8),
        label=label,
        seed=3,
        scores=ImageScores(predicted=predicted, features=features, nearest=nearest),
        original=ImageScores(predicted=label, features=original, nearest=distance),
    )


def test_scores_by_hand():
    answers = [
        made("a", predicted="a", features=(3.0, 4.0), nearest=0.1, distance=0.4),
        made("b", predicted="a", features=(3.0, 4.0), nearest=0.3, distance=0.2),
    ]
    scores = {
        metric.name: metric.score(metric.statistics(answers, answers)) for metric in image_metrics()
    }
    # two points against two points at the origin: the squared distance
    assert scores == pytest.approx({"frechet": 25.0, "class_accuracy": 50.0, "novelty": 0.4 / 0.6})
    assert [metric.higher_is_better for metric in image_metrics()] == [False, True, True]


def test_an_image_without_an_original_has_no_distance():
    alone = replace(made("a", predicted="a", features=(1.0,), nearest=0.1), original=None)
    for metric in (image_metrics()[0], image_metrics()[2]):
        with pytest.raises(DataError, match=r"must have a held-out one .*, got 1 without"):
            metric.statistics([alone], [alone])


def test_plain_data_says_what_is_known():
    answer = made("a", predicted="b", features=(1.0,), nearest=0.25)
    assert str(answer) == "a:3, predicted b, nearest training image at 0.250"
    plain = answer.plain()
    assert plain == {
        "label": "a",
        "seed": 3,
        "predicted": "b",
        "nearest": 0.25,
        "pixels": [[[7], [7]]],
    }
