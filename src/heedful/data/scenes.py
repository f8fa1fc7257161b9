"""Scenes drawn by rule: a few coloured shapes, the sentence that tells them, and where each is.

A scene is written as one line of text, from which all else follows, to the last pixel:
`scene: small red circle at 8,9; large blue ring at 40,24`.
"""

import itertools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from heedful.errors import DataError

Language = Literal["english", "chinese"]
Part = Literal["train", "dev", "test", "unseen"]

SIDE = 48  # pixels of an image
CELL = 16  # an object stands in a cell of its own, of three by three
FINE = 4  # points a side at which a pixel is looked at, for smooth borders
PREFIX = "scene:"
SIZES = {"small": 4.0, "large": 7.0}  # pixels from the middle to the border
COLOURS = {
    "red": (220, 50, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 210, 50),
    "purple": (160, 60, 190),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
WORDS = {
    **{"small": "小的", "large": "大的", "red": "红色", "green": "绿色", "blue": "蓝色"},
    **{"yellow": "黄色", "purple": "紫色", "white": "白色", "circle": "圆形", "square": "方形"},
    **{"triangle": "三角形", "cross": "十字形", "ring": "圆环"},
}
# how the first of two objects lies to the second one; in Chinese where the second one is
RELATIONS = {
    (0, 1): (" left of ", "，右边是"),
    (1, 0): (" above ", "，下面是"),
    (1, 1): (" above and left of ", "，右下方是"),
    (1, -1): (" above and right of ", "，左下方是"),
}
PARTS: tuple[Part, ...] = get_args(Part)
UNSEEN = {("circle", "purple"), ("cross", "red"), ("ring", "white"), ("square", "green")}
_OBJECT = re.compile(r"(\S+) (\S+) (\S+) at (\d{1,4}),(\d{1,4})")


class Span(NamedTuple):
    """Which characters of a caption name something of an object."""

    start: int
    end: int
    object: int


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object.

    Args:
        size: In `SIZES`.
        colour: In `COLOURS`.
        shape: In `SHAPES`.
        column: Pixels from the left edge to its middle.
        row: Pixels from the upper edge.
    """

    size: str
    colour: str
    shape: str
    column: int
    row: int

    @property
    def radius(self) -> float:
        """Pixels from the middle to the border."""
        return SIZES[self.size]

    def __str__(self) -> str:
        return f"{self.size} {self.colour} {self.shape} at {self.column},{self.row}"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Objects in the order in which they are told: by rows of cells, each from the left.

    Args:
        things: The objects.
        noise: Standard deviation of what is added to every pixel, in steps of brightness.
    """

    things: tuple[Thing, ...]
    noise: int = 8

    def __str__(self) -> str:
        return f"{PREFIX} {'; '.join(map(str, self.things))}; noise {self.noise}"

    def pixels(self) -> NDArray[np.uint8]:
        """Draw it, `(SIDE, SIDE, 3)`; shades and noise follow from the text of the scene."""
        draw = np.random.default_rng(zlib.crc32(str(self).encode()))
        image = np.full((SIDE, SIDE, 3), draw.uniform(70, 150))
        for thing in self.things:
            colour = np.array(COLOURS[thing.colour]) + draw.uniform(-12, 12, 3)
            place, share = _covered(thing, thing.radius + draw.uniform(-0.4, 0.4))
            image[place] += share[..., None] * (colour - image[place])
        image += draw.normal(0, self.noise, image.shape)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def caption(self, language: Language) -> str:
        """Tell what there is, and how each object lies to the next one."""
        return self._told(language)[0]

    def spans(self, language: Language) -> list[Span]:
        """Say which words of the caption name size, colour and shape of which object."""
        return self._told(language)[1]

    def boxes(self) -> list[tuple[float, float, float, float]]:
        """Return first and last row, first and last column of each object, in pixels."""
        return [
            (t.row - t.radius, t.row + t.radius, t.column - t.radius, t.column + t.radius)
            for t in self.things
        ]

    def _told(self, language: Language) -> tuple[str, list[Span]]:
        english = language == "english"
        text, spans = "", list[Span]()
        for number, thing in enumerate(self.things):
            if number:
                text += RELATIONS[_direction(self.things[number - 1], thing)][not english]
            words = (thing.size, thing.colour, thing.shape)
            text += "a " if english else "一个"
            for place, word in enumerate(words):
                text += " " if english and place else ""
                named = word if english else WORDS[word]
                spans.append(Span(len(text), len(text) + len(named), number))
                text += named
        return text, spans


def draw_scenes(count: int, *, seed: int, part: Part, noise: int = 8) -> list[Scene]:
    """Draw scenes of two or three objects, no scene twice.

    Which two objects ever stand in one image decides the part: those of one pair in ten are
    together in `test` alone, those of another one in `dev`. Objects that are `unseen` have a shape
    in a colour that no other part has it in.

    Args:
        count: How many.
        seed: Of what is drawn.
        part: Of the data.
        noise: Of each.
    """
    draw = np.random.default_rng([seed, PARTS.index(part)])
    found: dict[str, Scene] = {}
    while len(found) < count:
        things = [_thing(draw, cell) for cell in _cells(draw)]
        if part_of(things) == part:
            scene = Scene(things=tuple(things), noise=noise)
            found.setdefault(str(scene), scene)
    return list(found.values())


def part_of(things: Sequence[Thing]) -> Part | None:
    """Return the only part of the data that may hold these objects; `None` where none may."""
    if any((thing.shape, thing.colour) in UNSEEN for thing in things):
        return "unseen"
    kinds = (f"{thing.size} {thing.colour} {thing.shape}" for thing in things)
    pairs = (" and ".join(sorted(pair)) for pair in itertools.combinations(kinds, 2))
    drawn = {zlib.crc32(pair.encode()) % 10 for pair in pairs}
    if drawn >= {0, 1}:
        return None
    return "test" if 0 in drawn else "dev" if 1 in drawn else "train"


def parse_scene(text: str) -> Scene:
    """Read a scene from its text.

    Raises:
        DataError: It is none.
    """
    things, noise = list[Thing](), 8
    for part in text.strip().removeprefix(PREFIX).split(";"):
        part = " ".join(part.split())
        if part.startswith("noise "):
            noise = _number(part.removeprefix("noise "), "noise of a scene", 255)
            continue
        found = _OBJECT.fullmatch(part)
        if found is None:
            raise DataError(
                f"an object of a scene must look like 'small red circle at 8,9', got {part!r:.80}"
            )
        for word, known in zip(found.groups(), (SIZES, COLOURS, SHAPES), strict=False):
            if word not in known:
                raise DataError(f"a scene must have one of {', '.join(known)}, got {word!r:.40}")
        size, colour, shape, *place = found.groups()
        column, row = (_number(each, "a place in a scene", SIDE - 1) for each in place)
        things.append(Thing(size=size, colour=colour, shape=shape, column=column, row=row))
    cells = [_cell(thing) for thing in things]
    if sorted(set(cells)) != cells:
        raise DataError(
            f"objects of a scene must stand in cells of {CELL} pixels of their own, the upper and "
            f"left ones first, got the cells {', '.join(map(str, cells))}"
        )
    return Scene(things=tuple(things), noise=noise)


def _number(text: str, what: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= most):
        raise DataError(f"{what} must be a whole number from 0 to {most}, got {text!r:.40}")
    return int(text)


def _cells(draw: np.random.Generator) -> list[int]:
    """Numbers of two or three cells, in the order of rows."""
    count = int(draw.integers(2, 4))
    return sorted(draw.permutation((SIDE // CELL) ** 2)[:count].tolist())


def _thing(draw: np.random.Generator, cell: int) -> Thing:
    kinds = [[*SIZES], [*COLOURS], [*SHAPES]]
    *drawn, down, right = draw.integers([*map(len, kinds), 3, 3]).tolist()
    size, colour, shape = (each[place] for each, place in zip(kinds, drawn, strict=True))
    row, column = (CELL * place + CELL // 2 - 1 for place in divmod(cell, SIDE // CELL))
    return Thing(size=size, colour=colour, shape=shape, column=column + right, row=row + down)


def _cell(thing: Thing) -> tuple[int, int]:
    return thing.row // CELL, thing.column // CELL


def _direction(first: Thing, second: Thing) -> tuple[int, int]:
    """Steps down and to the right, of which only the direction counts."""
    (row, column), (below, beside) = _cell(first), _cell(second)
    return int(np.sign(below - row)), int(np.sign(beside - column))


def _covered(thing: Thing, radius: float) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
    """Which pixels an object may touch, and which share of each of them it covers."""
    windows: list[slice] = []
    points: list[NDArray[np.float64]] = []
    for middle in (thing.row, thing.column):
        first, end = max(int(middle - radius), 0), min(int(middle + radius) + 2, SIDE)
        fine = np.arange(first * FINE, end * FINE)
        windows.append(slice(first, end))
        points.append(((fine + 0.5) / FINE - 0.5 - middle) / radius)
    inside = _is_inside(thing.shape, points[1][None, :], points[0][:, None])
    share = inside.reshape(len(points[0]) // FINE, FINE, -1, FINE).mean(axis=(1, 3))
    return (windows[0], windows[1]), share


def _is_inside(shape: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Is a point in a shape from -1 to 1?"""
    away = np.hypot(x, y)
    match shape:
        case "circle":
            return away <= 1
        case "ring":
            return (away <= 1) & (away >= 0.55)
        case "square":
            return np.maximum(np.abs(x), np.abs(y)) <= 0.85
        case "triangle":
            return (np.abs(x) <= (y + 1) / 2) & (y <= 1)
        case _:
            return (np.minimum(np.abs(x), np.abs(y)) <= 0.32) & (
                np.maximum(np.abs(x), np.abs(y)) <= 1
            )
