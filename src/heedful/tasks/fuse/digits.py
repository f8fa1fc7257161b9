"""The built-in digits: images of scikit-learn with noise, and number words with typos."""

import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.data.images import DIGITS, ImageReference, Pixels, Source
from heedful.errors import DataError

DIGIT = "digit:"  # begins the name of an image of scikit-learn: digit:17:60
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def digit_labels() -> list[str]:
    """Return what each image shows.

    Raises:
        MissingExtraError: The extra `images` is not installed.
    """
    return [each.label for each in _digits()[0]]


def digit_pixels(name: str) -> NDArray[np.uint8]:
    """Return an image with noise, `(8, 8, 1)`, of which the name says all.

    Args:
        name: As `digit:17:60`: image 17, noise of 60 per cent of the range of a pixel, or none.

    Raises:
        DataError: It is no such name.
        MissingExtraError: The extra `images` is not installed.
    """
    row, _, noise = name.removeprefix(DIGIT).partition(":")
    known, images = _digits()
    numbers = [each.isascii() and each.isdigit() and len(each) < 5 for each in (row, noise or "0")]
    if not all(numbers) or int(row) >= len(known):
        raise DataError(
            f"a digit must look like {DIGIT}17:60, with an image below {len(known):,} and noise in "
            f"per cent, got {name!r:.60}"
        )
    pixels = images[int(row)].astype(float)
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    pixels += draw.normal(0, 2.55 * int(noise or "0"), pixels.shape)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def misspell(word: str, *, typos: float, draw: np.random.Generator) -> str:
    """Return a word of whose letters a share is drawn anew."""
    letters = [
        LETTERS[int(draw.integers(len(LETTERS)))] if draw.random() < typos else letter
        for letter in word
    ]
    return "".join(letters)


@lru_cache(maxsize=1)
def _digits() -> tuple[list[ImageReference], Pixels]:
    source = Source(DIGITS)
    known = source.references()
    return known, source.load(known)
