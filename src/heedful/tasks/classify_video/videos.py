"""Labelled videos: references in three splits, and a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heedful.data.examples import Splits, check_sizes, take_dev
from heedful.data.hashes import checksums
from heedful.data.moving_digits import count_digits
from heedful.data.ragged import Ints
from heedful.data.videos import VideoReference, Videos
from heedful.errors import DataError
from heedful.tasks.classify_video.config import Config, FolderData, MovingData, NpzData
from heedful.tasks.parts import SameSize

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Clips(SameSize):
    """Videos made ready.

    Args:
        pixels: Of each, `(videos, frames, height, width, channels)`.
        labels: The number of each label, -100 where nobody knows it.
    """

    pixels: NDArray[np.uint8]
    labels: Ints

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "dict[str, Tensor]":
        """Return videos with values from -1 to 1, and labels; nothing is augmented."""
        import torch

        chosen = np.fromiter(rows, np.int64)
        videos = torch.from_numpy(self.pixels[chosen]).to(device).permute(0, 1, 4, 2, 3)
        return {
            "videos": videos / 127.5 - 1,
            "label": torch.from_numpy(self.labels[chosen]).to(device),
        }

    def fingerprint(self) -> list[int]:
        """Return how many there are, and checksums of pixels and labels."""
        return [len(self), *checksums(self.pixels, self.labels)]


def reader_of(config: Config) -> Videos:
    """How the videos of a config are read."""
    data, frames = config.data, config.model.frames
    match data:
        case MovingData():
            return Videos(frames=frames, size=data.size, noise=data.noise, label=data.label)
        case FolderData():
            return Videos(frames=frames, size=data.size, channels=3 if data.colour else 1)
        case NpzData():
            return Videos(frames=frames)


def read_splits(config: Config) -> Splits[VideoReference]:
    """Refer to all videos; the dev split is taken out of the training videos.

    Raises:
        DataError: A video cannot be used, or nothing is left to learn from.
        MissingExtraError: The extra `images` is not installed.
    """
    data, reader = config.data, reader_of(config)
    if isinstance(data, MovingData):
        return _made(data, reader, config.seed)
    listed = reader.list_folder if isinstance(data, FolderData) else reader.list_file
    train, test = listed(data.train), listed(data.test) if data.test else []
    if test:
        check_sizes(*(reader.load(part[:1]).shape[2:] for part in (train, test)), what="videos")
    order = np.random.default_rng(config.seed).permutation(len(train)).tolist()
    labels = [each.label for each in train]
    rest, dev = take_dev(labels, order, data.dev_examples, most=100, what="a video")
    return Splits(train=[train[row] for row in rest], dev=[train[row] for row in dev], test=test)


def _made(data: MovingData, reader: Videos, seed: int) -> Splits[VideoReference]:
    """Made videos: no digit of one split is in another, and the seed decides which is where."""
    digits = np.random.default_rng(seed).permutation(count_digits())
    sizes = (data.examples - data.dev - data.test, data.dev, data.test)
    ends = np.cumsum(sizes) * len(digits) // data.examples
    parts = np.split(digits, ends[:-1])
    numbers = [_numbers(part, size, seed) for part, size in zip(parts, sizes, strict=True)]
    return Splits(*map(reader.list_made, numbers))


def _numbers(digits: Ints, count: int, seed: int) -> list[int]:
    """Numbers of so many videos of these digits, each in turn, and others for another seed."""
    if not len(digits):
        raise DataError(f"a split of {count:,} videos must be a larger share of data.examples")
    rounds, digit = np.divmod(np.arange(count), len(digits))
    first = seed % 1_000_000 * 1_000_000
    return (digits[digit] + count_digits() * (first + rounds)).tolist()
