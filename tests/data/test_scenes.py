"""Scenes: the text says all, parts of the data share no combination, words have places."""

import itertools
import re

import numpy as np
import pytest

from heedful.data.scenes import (
    COLOURS,
    PARTS,
    SHAPES,
    SIDE,
    SIZES,
    UNSEEN,
    WORDS,
    Scene,
    Thing,
    draw_scenes,
    parse_scene,
    part_of,
)
from heedful.errors import DataError

TEXT = "scene: small red circle at 8,9; large blue ring at 40,24; noise 0"


@pytest.fixture(scope="module")
def parts():
    return {part: draw_scenes(150, seed=3, part=part) for part in PARTS}


def kinds(scene):
    return [(each.size, each.colour, each.shape) for each in scene.things]


def together(scenes):
    """All pairs of objects that stand in one image."""
    pairs = (itertools.combinations(kinds(scene), 2) for scene in scenes)
    return {frozenset(pair) for each in pairs for pair in each}


def test_a_text_says_all(parts):
    for scene in itertools.chain(*parts.values()):
        again = parse_scene(str(scene))
        assert again == scene
        assert part_of(scene.things) in parts
    assert np.array_equal(scene.pixels(), again.pixels())
    assert parse_scene(TEXT.replace("; noise 0", "")).noise == 8
    assert str(parse_scene(f"  {TEXT.replace(' ', '  ')} ")) == TEXT


def test_parts_share_no_combination(parts):
    assert part_of(parse_scene(TEXT).things) == "train"
    for one, other in itertools.combinations(PARTS[:3], 2):
        new = together(parts[other]) - together(parts[one])
        for scene in parts[other]:
            assert together([scene]) & new
    for part, scenes in parts.items():
        assert len({str(scene) for scene in scenes}) == 150
        for scene in scenes:
            strange = {(shape, colour) for _, colour, shape in kinds(scene)} & UNSEEN
            assert bool(strange) == (part == "unseen")
    assert draw_scenes(5, seed=3, part="dev") == parts["dev"][:5]
    assert draw_scenes(5, seed=4, part="dev") != parts["dev"][:5]


def test_all_kinds_are_learned(parts):
    """Every shape is trained in most colours, and all colours, shapes and sizes are there."""
    assert {shape for shape, _ in UNSEEN} < set(SHAPES)
    seen = {kind[1:] for scene in draw_scenes(800, seed=0, part="train") for kind in kinds(scene)}
    assert seen == set(itertools.product(COLOURS, SHAPES)) - {(c, s) for s, c in UNSEEN}


def test_objects_are_where_the_text_says():
    """Every object has its colour at its place, and nothing beyond its box."""
    for shape, size in itertools.product(SHAPES, SIZES):
        thing = Thing(size=size, colour="white", shape=shape, column=24, row=9)
        pixels = Scene(things=(thing,), noise=0).pixels().astype(int)
        bright = (pixels > 200).all(2)
        rows, columns = (np.flatnonzero(bright.any(axis)) for axis in (1, 0))
        (box,) = Scene(things=(thing,)).boxes()
        assert box == (9 - SIZES[size], 9 + SIZES[size], 24 - SIZES[size], 24 + SIZES[size])
        assert box[0] - 1 <= rows.min() <= rows.max() <= box[1] + 1
        assert box[2] - 1 <= columns.min() <= columns.max() <= box[3] + 1
        assert bright[9, 24] == (shape != "ring")
        assert len(np.unique(pixels[40:])) == 1  # the ground has one shade


def test_noise_is_as_strong_as_asked():
    flat = parse_scene(TEXT.replace("noise 0", "noise 20")).pixels()[36:].astype(float)
    assert flat.std() == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(
    "second, english, chinese",
    [
        ("40,9", "a small red circle left of a large blue ring", "，右边是"),
        ("8,40", "a small red circle above a large blue ring", "，下面是"),
        ("40,24", "a small red circle above and left of a large blue ring", "，右下方是"),
    ],
)
def test_sentences_tell_how_objects_lie(second, english, chinese):
    scene = parse_scene(TEXT.replace("40,24", second))
    assert scene.caption("english") == english
    assert scene.caption("chinese") == f"一个小的红色圆形{chinese}一个大的蓝色圆环"


def test_the_last_relation_is_to_the_left():
    scene = parse_scene("scene: small white cross at 40,8; large red square at 8,24")
    assert scene.caption("english") == "a small white cross above and right of a large red square"
    assert scene.caption("chinese") == "一个小的白色十字形，左下方是一个大的红色方形"


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_spans_hold_the_words_of_an_object(parts, language):
    for scene in parts["train"]:
        caption = scene.caption(language)
        spans = scene.spans(language)
        assert [span.object for span in spans] == [n // 3 for n in range(3 * len(scene.things))]
        for number, thing in enumerate(scene.things):
            words = [thing.size, thing.colour, thing.shape]
            told = words if language == "english" else [WORDS[word] for word in words]
            named = [caption[span.start : span.end] for span in spans[3 * number : 3 * number + 3]]
            assert named == told


@pytest.mark.parametrize(
    "text, message",
    [
        ("scene:", "must look like 'small red circle at 8,9', got ''"),
        ("scene: red circle at 8,9", "must look like 'small red circle at 8,9', got 'red circle"),
        ("scene: huge red circle at 8,9", "must have one of small, large, got 'huge'"),
        ("scene: small pink circle at 8,9", "must have one of red, green, .*, got 'pink'"),
        ("scene: small red star at 8,9", "must have one of circle, square, .*, got 'star'"),
        ("scene: small red circle at 8,48", "from 0 to 47, got '48'"),
        ("scene: small red ring at 8,9; noise -1", "noise of a scene must be a .* got '-1'"),
        ("scene: small red ring at 8,9; noise 256", "whole number from 0 to 255, got '256'"),
        (
            "scene: small red ring at 8,9; small red ring at 9,9",
            "in cells of 16 pixels of their own, .* got the cells (0, 0), (0, 0)",
        ),
        ("scene: small red ring at 40,9; small red ring at 8,9", "got the cells (0, 2), (0, 0)"),
    ],
)
def test_what_is_no_scene_is_refused(text, message):
    with pytest.raises(DataError, match=re.escape(message).replace(r"\.\*", ".*")):
        parse_scene(text)
    assert SIDE == 48
