"""Videos with labels: folders of frames, NPZ files, and digits that move.

Examples only name a video: `VideoReference` says where its frames are and what their hash is, and
`Videos.load` reads them again.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from heedful.data.hashes import hash_array
from heedful.data.images import OTHERS, SUFFIXES, read_picture
from heedful.data.moving_digits import MOVING, draw_video, plan_video
from heedful.data.pictures import FORMATS
from heedful.errors import DataError, MissingExtraError

Frames = NDArray[np.uint8]  # (frames, height, width, channels)
NPZ = ".npz"
MOVIES = (".avi", ".gif", ".mkv", ".mov", ".mp4", ".webm")  # videos, but not read


@dataclass(frozen=True, slots=True)
class VideoReference:
    """Where a video is, and what it shows.

    Args:
        file: The absolute path of an NPZ file or of a folder of frames, or `MOVING`.
        index: Which video of the file.
        label: What it shows.
        hash: Of the frames that are read, as they were when it became part of a split.
    """

    file: str
    index: int
    label: str
    hash: str = ""


@dataclass(frozen=True, kw_only=True)
class Videos:
    """How videos are read.

    Args:
        frames: How many of each: of a longer one evenly spaced ones, of a shorter one some twice.
        size: Pixels of a side that pictures are cut and resized to, and of the canvas of digits.
        channels: 1 for grey, 3 for red, green and blue; what pictures are turned into.
        noise: On digits, in shares of white.
        label: What of a moving digit is asked for: `digit`, `direction` or `speed`.
    """

    frames: int
    size: int = 20
    channels: int = 1
    noise: float = 0.0
    label: str = "direction"

    def list_made(self, numbers: Sequence[int]) -> list[VideoReference]:
        """Refer to moving digits.

        Raises:
            MissingExtraError: The extra `images` is not installed.
        """
        plans = [plan_video(number, size=self.size) for number in numbers]
        labels = [str(getattr(plan, self.label)) for plan in plans]
        return [
            self.refer(MOVING, number, label=label)
            for number, label in zip(numbers, labels, strict=True)
        ]

    def list_file(self, path: str) -> list[VideoReference]:
        """Refer to all videos of an NPZ file.

        Raises:
            DataError: It is missing or damaged, or does not hold `videos` and `labels`.
        """
        videos, labels = _stored(path)
        if labels is None:
            raise DataError(f"{path} must hold labels, got videos alone")
        return [
            self.refer(path, index, label=label)
            for index, label in zip(range(len(videos)), labels, strict=True)
        ]

    def list_folder(self, path: str) -> list[VideoReference]:
        """Refer to all videos below a folder: a folder for each label, in it one for each video.

        Raises:
            DataError: There is none, a label has none, or a frame cannot be used.
            MissingExtraError: The extra `images` is not installed.
        """
        return [
            self.refer(str(video), label=label.name)
            for label in _folders(Path(path), "a folder for each label")
            for video in _folders(label, "a folder for each video")
        ]

    def refer(self, file: str, index: int = 0, *, label: str = "") -> VideoReference:
        """Refer to one video.

        Args:
            file: A folder of frames, an NPZ file, or `MOVING`.
            index: Which video of the file.
            label: What it shows; empty where nobody knows it.

        Raises:
            DataError: The video is missing or damaged.
            MissingExtraError: The extra `images` is not installed.
        """
        name = file if file == MOVING else os.path.abspath(file)
        return VideoReference(name, index, label, hash_array(self._read(file, index)))

    def load(self, references: Sequence[VideoReference]) -> NDArray[np.uint8]:
        """Read videos again, `(videos, frames, height, width, channels)`.

        Raises:
            DataError: One is missing or damaged, holds other frames than it did, or is of another
                size than the first.
        """
        videos: list[Frames] = []
        for reference in references:
            video = self._read(reference.file, reference.index)
            if hash_array(video) != reference.hash:
                raise DataError(
                    f"{reference.file}, video {reference.index}, must be the one that was held "
                    "out, got other frames"
                )
            videos.append(video)
            if video.shape != videos[0].shape:
                raise DataError(
                    f"{reference.file}, video {reference.index}, must have the shape of the "
                    f"others, {videos[0].shape}, got {video.shape}"
                )
        return np.stack(videos)

    def _read(self, file: str, index: int) -> Frames:
        if file == MOVING:
            made = draw_video(index, size=self.size, noise=self.noise)
            return made[evenly(len(made), self.frames)]
        if file.lower().endswith(NPZ):
            videos, _ = _stored(file)
            if not 0 <= index < len(videos):
                raise DataError(
                    f"{file} must hold video {index}, got videos 0 to {len(videos) - 1:,}"
                )
            return videos[index][evenly(videos.shape[1], self.frames)]
        paths = frames_in(Path(file))
        chosen = [paths[place] for place in evenly(len(paths), self.frames)]
        return np.stack([read_picture(str(each), self.size, self.channels) for each in chosen])


def evenly(count: int, frames: int) -> list[int]:
    """Return which of `count` frames are read, in their order: the middles of equal parts.

    Source:
        Wang et al. 2016, arXiv:1608.00859, section 3.1 (segments of equal duration).
    """
    return [(2 * place + 1) * count // (2 * frames) for place in range(frames)]


def frames_in(folder: Path) -> list[Path]:
    """Return the frames of a video, `frame2.png` before `frame10.png`.

    Raises:
        DataError: There are none, one is damaged or of another kind, or they are not all of one
            size.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder of frames, got none")
    frames = (*SUFFIXES, *OTHERS)
    paths = [path for path in folder.iterdir() if path.suffix.lower() in frames]
    paths = sorted((path for path in paths if not path.name.startswith(".")), key=_natural)
    if not paths:
        raise DataError(f"{folder} must have {', '.join(SUFFIXES)} files in it, got none")
    sizes = {path: _size_of(path) for path in paths}
    for path, size in sizes.items():
        if size is None or path.suffix.lower() in OTHERS:
            raise DataError(f"{path} must be a PNG or JPEG image, got: another kind of file")
        if size != sizes[paths[0]]:
            raise DataError(
                f"{path} must be as large as {paths[0].name}, {sizes[paths[0]]}, got {size}"
            )
    return paths


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Numbers by their size, all else by its letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _size_of(path: Path) -> tuple[int, int] | None:
    """Width and height, or `None` where a file is no image."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError(
            "reading frames needs the package pillow, got none. Run: pip install 'heedful[images]'"
        ) from None
    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=FORMATS) as opened:
            return opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _folders(folder: Path, what: str) -> list[Path]:
    paths = [path for path in sorted(folder.glob("*")) if not path.name.startswith(".")]
    found = [path for path in paths if path.is_dir()]
    if not found:
        raise DataError(f"{folder} must be a folder with {what}, got none")
    for path in paths:
        if path.suffix.lower() in (*SUFFIXES, *MOVIES) and path not in found:
            raise DataError(f"{path} must be a folder of frames, got a file")
    return found


def _stored(path: str) -> tuple[NDArray[np.uint8], list[str] | None]:
    """Videos and labels of an NPZ file; what was read last is kept until the file changes."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise DataError(f"{path} must be an NPZ file, got: {said}") from None
    if not os.path.isfile(path):  # a pipe would be waited for
        raise DataError(f"{path} must be an NPZ file, got no ordinary file")
    return _kept(os.path.abspath(path), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=3)  # the three splits
def _kept(path: str, changed: int, size: int) -> tuple[NDArray[np.uint8], list[str] | None]:
    try:
        # np.load leaves a file open that it opened itself, where that is no whole archive
        with open(path, "rb") as file:
            opened: Any = np.load(file, allow_pickle=False)
            held: dict[str, Any] = {name: opened[name] for name in opened.files}
    except (OSError, ValueError, EOFError, MemoryError, BadZipFile, AttributeError) as error:
        raise DataError(f"{path} must be an NPZ file of plain arrays, got: {error}") from None
    videos, labels = held.get("videos"), held.get("labels")
    if videos is None:
        raise DataError(f"{path} must hold videos, got {', '.join(held) or 'nothing'}")
    if videos.dtype != np.uint8:
        raise DataError(f"{path} must hold videos as uint8, from 0 to 255, got {videos.dtype}")
    videos = videos[..., None] if videos.ndim == 4 else videos
    if videos.ndim != 5 or videos.shape[4] not in (1, 3) or 0 in videos.shape:
        raise DataError(
            f"{path} must hold videos of shape (videos, frames, height, width[, 1 or 3]), "
            f"got {videos.shape}"
        )
    if labels is None:
        return videos, None
    if labels.shape != (len(videos),) or labels.dtype.kind not in "iuU":
        raise DataError(
            f"{path} must hold a text or whole number as label for each of the {len(videos):,} "
            f"videos, got {labels.dtype} of shape {labels.shape}"
        )
    return videos, [str(label) for label in labels.tolist()]
