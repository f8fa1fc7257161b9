"""Labelled images as a data set, shifted and mirrored in training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from heedful.data.hashes import checksums
from heedful.data.images import ImageReference, Pixels, Source
from heedful.data.ragged import Ints
from heedful.errors import DataError
from heedful.tasks.parts import SameSize

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Images(SameSize):
    """Images made ready.

    Args:
        pixels: Of each.
        labels: The number of each label, -100 where nobody knows it.
        shift: Pixels that an image is moved at most in training; what comes in is black.
        flip: Are half of them mirrored in training?
    """

    pixels: Pixels
    labels: Ints
    shift: int = 0
    flip: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "dict[str, Tensor]":
        """Return images with values from -1 to 1, and labels."""
        import torch

        chosen = np.fromiter(rows, np.int64)
        pixels = self.pixels[chosen]
        if random is not None:
            pixels = self._augmented(pixels, random)
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        return {
            "images": images.to(device) / 127.5 - 1,
            "label": torch.from_numpy(self.labels[chosen]).to(device),
        }

    def _augmented(self, pixels: Pixels, random: np.random.Generator) -> Pixels:
        if self.flip:
            mirrored = random.random(len(pixels)) < 0.5
            pixels[mirrored] = pixels[mirrored][:, :, ::-1]
        if self.shift:
            moves = random.integers(-self.shift, self.shift + 1, (2, len(pixels)))
            pixels = shifted(pixels, moves, border=self.shift)
        return pixels

    def fingerprint(self) -> list[int]:
        """Return how many there are, and checksums of pixels and labels."""
        return [len(self), *checksums(self.pixels, self.labels)]


def shifted(pixels: Pixels, moves: Ints, *, border: int) -> Pixels:
    """Move images; what comes in is black.

    Args:
        pixels: Of each.
        moves: Rows down and columns to the right, `(2, images)`.
        border: As far as any is moved.
    """
    sides = (border, border)
    padded = np.pad(pixels, ((0, 0), sides, sides, (0, 0)))
    windows = sliding_window_view(padded, pixels.shape[1:3], axis=(1, 2))
    rows, columns = border - moves
    return windows[np.arange(len(pixels)), rows, columns].transpose(0, 2, 3, 1)


def read_images(
    source: Source, examples: Sequence[ImageReference], *, shape: tuple[int, ...]
) -> Pixels:
    """Read the images that examples refer to.

    Args:
        source: Where they are.
        examples: What refers to them.
        shape: Height, width and channels that all must have.

    Raises:
        DataError: An image cannot be read, or has another shape.
    """
    if not examples:
        return np.zeros((0, *shape), np.uint8)
    pixels = source.load(examples)
    if pixels.shape[1:] != shape:
        raise DataError(
            f"images must be as large as in training, {shape}, got {pixels.shape[1:]} "
            f"in {examples[0].file}"
        )
    return pixels
