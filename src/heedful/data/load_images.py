"""From the `data` section of a config to references to images in three splits."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from heedful.config.base import Count, DataPath, Section, Side
from heedful.data.examples import Splits, check_sizes, take_dev
from heedful.data.images import DIGITS, ImageReference, Source


class DigitsData(Section):
    """The 1,797 digits of scikit-learn, 8 x 8 pixels; needs the extra `images`."""

    name: Literal["digits"] = "digits"
    dev: Count = 300
    test: Count = 300


class IdxData(Section):
    """IDX files of images and of labels, as those of MNIST; `.gz` is unpacked."""

    name: Literal["idx"] = "idx"
    train: DataPath
    train_labels: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    test_labels: DataPath | None = None
    dev_examples: Count | None = None  # taken out of `train`; None: a tenth, up to 2,000
    renamed: ClassVar = {"dev": "dev_examples"}


class FolderData(Section):
    """A folder for each class with PNG or JPEG files in it; needs the extra `images`."""

    name: Literal["folder"] = "folder"
    train: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    dev_examples: Count | None = None  # taken out of `train`; None: a tenth, up to 300
    renamed: ClassVar = {"dev": "dev_examples"}
    size: Side = 32  # pixels a side to which images are cut and resized
    colour: bool = True


ImageData = Annotated[DigitsData | IdxData | FolderData, Field(discriminator="name")]


def load_images(data: ImageData, seed: int) -> Splits[ImageReference]:
    """Refer to all images; the dev split is taken out of the training images.

    Args:
        data: Where they are.
        seed: Decides which are taken out; of each label one is left.

    Raises:
        DataError: A file cannot be used, or nothing is left to learn from.
        MissingExtraError: The extra `images` is not installed.
    """
    train, test = source_of(data).references(), list[ImageReference]()
    order = np.random.default_rng(seed).permutation(len(train)).tolist()
    if isinstance(data, DigitsData):
        order, test = order[data.test :], [train[row] for row in order[: data.test]]
    elif data.test is not None:
        judged = source_of(data, test=True)
        test = judged.references()
        pixels = source_of(data).load(train[:1]), judged.load(test[:1])
        check_sizes(*(each.shape[1:] for each in pixels))
    count = data.dev if isinstance(data, DigitsData) else data.dev_examples
    most = 300 if isinstance(data, FolderData) else 2_000
    labels = [each.label for each in train]
    rest, dev = take_dev(labels, order, count, most=most, what="an image")
    return Splits(train=[train[row] for row in rest], dev=[train[row] for row in dev], test=test)


def problem_of(data: ImageData) -> str | None:
    """Say what is missing of a section, or `None`."""
    if isinstance(data, IdxData) and (data.test is None) != (data.test_labels is None):
        return (
            "data.test and data.test_labels must be given together, got "
            f"{data.test!r} and {data.test_labels!r}"
        )
    return None


def source_of(data: ImageData, *, test: bool = False) -> Source:
    """Where the images are."""
    match data:
        case DigitsData():
            return Source(DIGITS)
        case IdxData():
            images, labels = data.train, data.train_labels
            if test and data.test:
                images, labels = data.test, data.test_labels
            return Source(images, labels=labels)
        case FolderData():
            path = data.test if test and data.test else data.train
            return Source(path, size=data.size, channels=3 if data.colour else 1)
