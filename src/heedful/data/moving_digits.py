"""Short videos that are made: a digit drifts over a canvas; where it is halfway tells nothing."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.data.images import DIGITS, Pixels, Source

MOVING = "moving digits"  # stands where videos have a path
STEPS = {  # rows down and columns to the right
    "right": (0, 1),
    "down-right": (1, 1),
    "down": (1, 0),
    "down-left": (1, -1),
    "left": (0, -1),
    "up-left": (-1, -1),
    "up": (-1, 0),
    "up-right": (-1, 1),
}
SPEEDS = {"slow": 1, "fast": 2}  # pixels a frame
DIGIT = 8  # pixels of a side
FRAMES = 5  # of a video
REACH = FRAMES // 2 * max(SPEEDS.values())  # pixels that it is moved from halfway on
SMALLEST = DIGIT + 2 * REACH  # canvas


@dataclass(frozen=True, kw_only=True)
class MovingDigit:
    """What a video shows.

    Args:
        image: Which of scikit-learn's digits.
        digit: What that is.
        direction: Where to it moves, one of `STEPS`.
        speed: How fast, one of `SPEEDS`.
        halfway: Row and column of its upper left pixel in the middle frame.
    """

    image: int
    digit: str
    direction: str
    speed: str
    halfway: tuple[int, int]


def plan_video(number: int, *, size: int) -> MovingDigit:
    """Draw what a video shows; its number decides, and the digits are taken in turns.

    Halfway the digit is anywhere from where every movement stays on the canvas: so neither the
    middle frame nor where it is tells of the movement, nor do all frames without their order tell
    more than its axis.

    Args:
        number: Of the video.
        size: Pixels of a side of the canvas; at least `SMALLEST`.

    Raises:
        MissingExtraError: The extra `images` is not installed.
    """
    labels = _digits()[1]
    random, image = np.random.default_rng(number), number % len(labels)
    row, column = random.integers(REACH, size - DIGIT - REACH + 1, 2).tolist()
    return MovingDigit(
        image=image,
        digit=labels[image],
        direction=list(STEPS)[random.integers(len(STEPS))],
        speed=list(SPEEDS)[random.integers(len(SPEEDS))],
        halfway=(row, column),
    )


def draw_video(number: int, *, size: int, noise: float) -> NDArray[np.uint8]:
    """Draw a video, `(FRAMES, size, size, 1)`.

    Args:
        number: Of the video.
        size: Pixels of a side of the canvas; at least `SMALLEST`.
        noise: Standard deviation of what is added to each pixel of each frame, in shares of white.

    Raises:
        MissingExtraError: The extra `images` is not installed.
    """
    plan, random = plan_video(number, size=size), np.random.default_rng([number, 1])
    digit, video = _digits()[0][plan.image, :, :, 0], np.zeros((FRAMES, size, size))
    for time, frame in enumerate(video, -(FRAMES // 2)):
        moved = (SPEEDS[plan.speed] * time * each for each in STEPS[plan.direction])
        row, column = (at + by for at, by in zip(plan.halfway, moved, strict=True))
        frame[row : row + DIGIT, column : column + DIGIT] = digit / 255
    video += noise * random.standard_normal(video.shape)
    return np.rint(255 * video.clip(0, 1)).astype(np.uint8)[..., None]


def count_digits() -> int:
    """Return how many digits there are: videos whose numbers differ by it show the same one.

    Raises:
        MissingExtraError: The extra `images` is not installed.
    """
    return len(_digits()[1])


@lru_cache(maxsize=1)
def _digits() -> tuple[Pixels, tuple[str, ...]]:
    source = Source(DIGITS)
    references = source.references()
    return source.load(references), tuple(each.label for each in references)
