"""Images with sentences: read from tables or drawn, and where each word of a scene should look."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heedful.data.columns import read_columns
from heedful.data.examples import Splits
from heedful.data.hashes import hash_array
from heedful.data.images import Pixels, read_picture
from heedful.data.scenes import PREFIX, SIDE, Part, draw_scenes, parse_scene
from heedful.errors import DataError
from heedful.tasks.describe.config import SceneData, TableData, image_shape

Data = SceneData | TableData


@dataclass(frozen=True)
class Captioned:
    """An image and the sentence that tells what it shows.

    Args:
        image: The absolute path of a PNG or JPEG file, or the text of a scene.
        caption: The sentence; empty where nobody knows it.
        hash: Of the pixels of a file, as they were when it became an example.
    """

    image: str
    caption: str = ""
    hash: str = ""


def read_splits(data: Data, seed: int) -> Splits[Captioned]:
    """Read or draw the examples.

    Raises:
        DataError: A file cannot be used.
        MissingExtraError: The extra `images` is not installed.
    """
    if isinstance(data, TableData):
        train, dev = (read_table(data, path) for path in (data.train, data.dev))
        return Splits(train, dev, read_table(data, data.test) if data.test else [])
    counts: dict[Part, int] = {"train": data.examples, "dev": data.dev, "test": data.test}
    return Splits(**{part: drawn(data, part, count, seed) for part, count in counts.items()})


def drawn(data: SceneData, part: Part, count: int, seed: int) -> list[Captioned]:
    """Draw scenes as examples."""
    scenes = draw_scenes(count, seed=seed, part=part, noise=data.noise)
    return [Captioned(str(scene), scene.caption(data.language)) for scene in scenes]


def read_table(data: TableData, path: Path | str) -> list[Captioned]:
    """Read one table of images and sentences; paths are relative to its folder.

    Raises:
        DataError: The table cannot be used, or an image that it names is missing or damaged.
        MissingExtraError: The extra `images` is not installed.
    """
    examples: list[Captioned] = []
    for number, (image, caption) in read_columns(path, (data.path, data.caption)):
        try:
            file = os.path.join(Path(path).parent, image.strip())
            examples.append(_of_file(file, data, caption))
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from None
    return examples


def parse(text: str, data: Data) -> Captioned:
    """Take the path of an image, or a scene where scenes were learned.

    Raises:
        DataError: It is neither.
        MissingExtraError: The extra `images` is not installed.
    """
    text = text.strip()
    if isinstance(data, SceneData) and text.startswith(PREFIX):
        return Captioned(str(parse_scene(text)))
    return _of_file(text, data, "")


def load_pixels(examples: Sequence[Captioned], data: Data) -> Pixels:
    """Draw the scenes and read the files again, `(images, height, width, channels)`.

    Raises:
        DataError: A file is missing or damaged, or holds other pixels than it did.
        MissingExtraError: The extra `images` is not installed.
    """
    size, channels = image_shape(data)
    pixels = np.empty((len(examples), size, size, channels), np.uint8)
    for row, example in enumerate(examples):
        if example.hash:
            image = read_picture(example.image, size, channels)
            if hash_array(image) != example.hash:
                raise DataError(
                    f"{example.image} must hold the pixels that it had when it became an example, "
                    "got others"
                )
        else:
            image = parse_scene(example.image).pixels()
        pixels[row] = image
    return pixels


def places_of_words(
    examples: Sequence[Captioned], pieces: Sequence[Sequence[str]], data: SceneData, *, patch: int
) -> NDArray[np.bool_]:
    """Say which cells each piece of a sentence names something of, where the images are scenes.

    Of a word that is several pieces the first one counts: what the image is asked for is which word
    it is, and the rest of it follows from its beginning, as 色 does from 红.

    Args:
        examples: Scenes with their sentences.
        pieces: Of each sentence, one after the other.
        data: Says in which language they are.
        patch: Pixels a side of a cell.

    Returns:
        `(examples, pieces, cells)`; all false for pieces that begin no such word, and for images
        that are no scene or have another sentence than their own.
    """
    edges = np.arange(0, SIDE, patch)
    longest = max((len(each) for each in pieces), default=0)
    named = np.zeros((len(examples), longest, len(edges) ** 2), bool)
    for row, example in enumerate(examples):
        scene = None if example.hash else parse_scene(example.image)
        if scene is None or scene.caption(data.language) != example.caption:
            continue
        touched = [
            np.outer(_touched(edges, patch, box[:2]), _touched(edges, patch, box[2:])).ravel()
            for box in scene.boxes()
        ]
        spans, end = scene.spans(data.language), 0
        for place, piece in enumerate(pieces[row]):
            start, end = end, end + len(piece)
            for span in spans:
                if start <= span.start < end:
                    named[row, place] = touched[span.object]
    return named


def _touched(edges: NDArray[np.int64], patch: int, ends: tuple[float, float]) -> NDArray[np.bool_]:
    """Which cells in a line a stretch of pixels touches."""
    return (edges < ends[1]) & (edges + patch > ends[0])


def _of_file(path: str, data: Data, caption: str) -> Captioned:
    size, channels = image_shape(data)
    path = os.path.abspath(path)
    return Captioned(path, caption.strip(), hash_array(read_picture(path, size, channels)))
