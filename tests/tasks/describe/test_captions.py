"""Images with sentences: tables are read whole or refused, and words of scenes have places."""

import re

import numpy as np
import pytest

from heedful.data.scenes import parse_scene
from heedful.data.tokens import train_tokenizer
from heedful.errors import DataError
from heedful.tasks.describe.captions import (
    Captioned,
    drawn,
    load_pixels,
    parse,
    places_of_words,
    read_splits,
    read_table,
)
from heedful.tasks.describe.config import SceneData, TableData

Image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
SCENES = SceneData(examples=20, dev=5, test=6)


@pytest.fixture
def table(tmp_path):
    """A table with two images beside it, and what reads it."""
    (tmp_path / "images").mkdir()
    for name, shade in (("a.png", 10), ("b.jpg", 200)):
        Image.new("RGB", (20, 30), (shade, 0, 0)).save(tmp_path / "images" / name)
    lines = ["path,caption", " images/a.png ,a dark one", 'images/b.jpg," a red, bright one "']
    path = tmp_path / "train.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path, TableData(train=str(path), dev=str(path), size=8)


def test_a_table_is_read_with_its_images(table):
    path, data = table
    examples = read_table(data, path)
    assert [each.caption for each in examples] == ["a dark one", "a red, bright one"]
    assert examples[0].image == str(path.parent / "images" / "a.png")
    pixels = load_pixels(examples, data)
    assert pixels.shape == (2, 8, 8, 3)
    assert pixels[:, 4, 4, 0].tolist() == pytest.approx([10, 200], abs=2)
    splits = read_splits(data, seed=1)
    assert (splits.train, splits.dev, splits.test) == (examples, examples, [])
    grey = data.model_copy(update={"colour": False})
    assert load_pixels(read_table(grey, path), grey).shape == (2, 8, 8, 1)


@pytest.mark.parametrize(
    "line, message",
    [
        ("images/a.png,", "train.csv:4 must have a text in column 'caption', got ''"),
        (",one", "train.csv:4 must have a text in column 'path', got ''"),
        ("images/a.png", "train.csv:4 must have 2 columns like the first line, got 1"),
        ("images/c.png,one", "images/c.png must be an image, got no such file"),
        ("images,one", "images must be an image, got no ordinary file"),
        ("train.csv,one", "train.csv must be a PNG or JPEG image, got: "),
    ],
)
def test_a_bad_row_is_refused_with_its_line(table, line, message):
    path, data = table
    path.write_text(path.read_text() + f"\n{line}", encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_table(data, path)
    assert f"{path}:4" in str(caught.value)


def test_a_table_must_have_its_columns(table):
    path, data = table
    with pytest.raises(
        DataError, match=re.escape("must have one column 'file', got path, caption")
    ):
        read_table(data.model_copy(update={"path": "file"}), path)


def test_an_image_that_has_changed_is_noticed(table):
    path, data = table
    examples = read_table(data, path)
    Image.new("RGB", (20, 30), (90, 0, 0)).save(path.parent / "images" / "a.png")
    with pytest.raises(DataError, match=r"a.png must hold the pixels that it had when it became"):
        load_pixels(examples, data)


def test_scenes_are_examples_without_files():
    splits = read_splits(SCENES, seed=2)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [20, 5, 6]
    first = splits.train[0]
    assert first.caption == parse_scene(first.image).caption("english")
    assert np.array_equal(load_pixels([first], SCENES)[0], parse_scene(first.image).pixels())
    assert drawn(SCENES, "train", 20, 2) == splits.train


def test_what_a_user_types_is_an_image_or_a_scene(table):
    path, data = table
    image = str(path.parent / "images" / "a.png")
    assert parse(f" {image} ", data) == Captioned(image, "", read_table(data, path)[0].hash)
    scene = "scene: small red circle at 8,9"
    assert parse(scene, SCENES) == Captioned(f"{scene}; noise 8")
    with pytest.raises(DataError, match="scene: small red circle at 8,9 must be an image, got no"):
        parse(scene, data)
    with pytest.raises(DataError, match="must look like 'small red circle at 8,9'"):
        parse("scene: nothing", SCENES)


@pytest.mark.parametrize("language, kind", [("english", "words"), ("chinese", "words")])
def test_words_of_an_object_have_its_cells(language, kind):
    data = SCENES.model_copy(update={"language": language})
    examples = drawn(data, "test", 30, 1)
    vocabulary = train_tokenizer(kind, [each.caption for each in examples], vocabulary=99)
    pieces = [vocabulary.pieces(each.caption)[1:-1] for each in examples]
    named = places_of_words(examples, pieces, data, patch=8)
    assert named.shape == (30, max(map(len, pieces)), 36)
    for example, words, cells in zip(examples, pieces, named, strict=True):
        scene = parse_scene(example.image)
        for number, thing in enumerate(scene.things):
            place = 6 * (thing.row // 8) + thing.column // 8
            rows = [row for row in range(len(words)) if cells[row, place]]
            spans = scene.spans(language)[3 * number : 3 * number + 3]
            told = [example.caption[span.start : span.end] for span in spans]
            assert len(rows) == 3
            for row, word in zip(rows, told, strict=True):
                assert words[row].strip() == (word if language == "english" else word[0])
            sides = np.ptp(np.flatnonzero(cells[rows[0]].reshape(6, 6).any(1))) + 1
            assert sides * 8 >= 2 * thing.radius
            assert sides * 8 < 2 * thing.radius + 16


def test_without_a_sentence_of_its_own_a_scene_has_no_places(table):
    path, data = table
    (example, *_) = drawn(SCENES, "train", 1, 1)
    for other in (Captioned(example.image, "a cat"), *read_table(data, path)):
        assert not places_of_words([other], [[" a", " cat"]], SCENES, patch=8).any()
