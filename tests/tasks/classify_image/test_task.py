"""Image classification keeps to what every task keeps to, learns, and refuses bad images."""

import json
import re
import shutil
from typing import ClassVar

import pytest

from heedful.data.load_images import source_of
from heedful.errors import ConfigError, DataError, RunError
from heedful.evaluation import evaluate
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_image.task import ClassifyImage
from heedful.testing.tasks import ClassificationContract
from heedful.training.start import train

pytest.importorskip("sklearn", reason="the extra images is not installed")
SMALL = {"width": 4, "heads": 2, "reduction": 2}


class TestClassifyImage(ClassificationContract):
    task = ClassifyImage
    inputs = ("3", " 17 ")
    learns = ("train.steps=60", "train.learning_rate=0.01", "train.shift=0", "train.flip=false")
    tables: ClassVar = {
        "data": {"dev": 20, "test": 20},
        "model": SMALL,
        "train": {
            **{"steps": 6, "batch_size": 16, "precision": "fp32"},
            **{"shift": 1, "flip": True, "learning_rate": 0.02},
        },
    }

    @pytest.mark.parametrize("given", ["", "x", "1.5", "-1", "²", "three.gif"])
    def test_what_is_no_image_is_refused(self, run, given):
        message = f"file or a number, got {json.dumps(given, ensure_ascii=False)}"
        with pytest.raises(DataError, match=re.escape(message)):
            run.task.parse(given)

    def test_an_image_that_is_not_there_is_refused(self, run):
        with pytest.raises(DataError, match="must hold image 1797, got images 0 to 1,796"):
            run.answer(["1797"])
        with pytest.raises(DataError, match=r"none\.png must be an image, got no such file"):
            run.answer(["none.png"])

    @pytest.mark.parametrize("about", ["[]", "{}", '{"size": 8, "channels": 2}', '{"size": true}'])
    def test_damaged_sizes_are_refused(self, run, tmp_path, about):
        shutil.copytree(run.folder / "task", tmp_path / "task")
        (tmp_path / "task" / "images.json").write_text(about)
        with pytest.raises(RunError, match=r"images.json must"):
            ClassifyImage.load(run.config, tmp_path)


@pytest.mark.parametrize(
    "model", [{**SMALL, "attention": "none"}, {**SMALL, "attention": "cbam"}, {"name": "vit"}]
)
def test_it_learns_where_a_bright_corner_is(square_files, tmp_path, model):
    tables = {"task": "classify-image", "output": str(tmp_path / "run"), "model": model}
    tables["data"] = {**square_files, "dev_examples": 20}
    settings = {"steps": 40, "batch_size": 16, "learning_rate": 0.01, "precision": "fp32"}
    tables["train"] = settings
    run = train(parse_config(tables))
    assert evaluate(run, split="dev").scores["accuracy"].score >= 80  # chance is 25


# ---- images of the user's own --------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Red and blue pictures, in one folder for each colour."""
    image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
    for row, colour in enumerate(("blue", "red")):
        for part, count in (("train", 6), ("test", 3)):
            (tmp_path / part / colour).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixel = [10 * number + (part == "test")] * 3
                pixel[2 - 2 * row] = 250
                made = image.new("RGB", (12, 10), tuple(pixel))
                made.save(tmp_path / part / colour / f"{number}.png")
    return tmp_path


def of_folder(folder, **more):
    data = {"name": "folder", "train": str(folder / "train"), "test": str(folder / "test")}
    tables = {"task": "classify-image", "data": {**data, "dev_examples": 2, "size": 8, **more}}
    settings = {"steps": 12, "batch_size": 4, "precision": "fp32"}
    return parse_config({**tables, "model": SMALL, "train": settings})


def test_a_folder_of_pictures_is_learned(folder, tmp_path):
    config = of_folder(folder).model_copy(update={"output": str(tmp_path / "run")})
    run = train(config)
    assert list(run.task.labels) == ["blue", "red"]
    path = str(folder / "test" / "red" / "1.png")
    (answer,) = run.answer([path])
    plain = run.task.to_json(run.task.parse(path), answer)
    assert plain["file"] == path
    assert plain["shares"].keys() == {"blue", "red"}
    with pytest.raises(DataError, match=r"jpeg file, got \"3\""):
        run.task.parse("3")


def test_a_label_that_is_only_held_out_is_refused(folder):
    (folder / "test" / "red").rename(folder / "test" / "pink")
    with pytest.raises(DataError, match=r"the test split must have labels of the .*, got 'pink'"):
        ClassifyImage.read(of_folder(folder))


def test_an_empty_class_is_refused(folder):
    (folder / "train" / "green").mkdir()
    with pytest.raises(DataError, match=r"green must have \.png, \.jpg, \.jpeg files in it"):
        ClassifyImage.read(of_folder(folder))


def test_images_that_are_not_square_are_refused(tmp_path):
    head = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4])
    (tmp_path / "images").write_bytes(head + bytes(24))
    (tmp_path / "labels").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 0]))
    data = {"name": "idx", "train": str(tmp_path / "images"), "dev_examples": 1}
    data["train_labels"] = str(tmp_path / "labels")
    config = parse_config({"task": "classify-image", "data": data})
    references = source_of(config.data).references()
    with pytest.raises(DataError, match="images must be square, got 3 x 4"):
        ClassifyImage.fit(config, references)


def test_stages_leave_a_pixel(square_files):
    tables = {"task": "classify-image", "data": {**square_files, "dev_examples": 20}}
    config = parse_config({**tables, "model": {**SMALL, "stages": 4}})
    examples = ClassifyImage.read(config).train
    assert ClassifyImage.fit(config, examples).shape == (8, 8, 1)
    config = parse_config({**tables, "model": {**SMALL, "stages": 5}})
    message = "model.stages must leave a pixel of images of 8 x 8, got 5"
    with pytest.raises(ConfigError, match=message):
        ClassifyImage.fit(config, examples)


def test_an_idx_file_gives_its_images_by_number(square_files, tmp_path):
    data = {**square_files, "dev_examples": 20}
    config = parse_config({"task": "classify-image", "data": data, "model": SMALL})
    task = ClassifyImage.fit(config, ClassifyImage.read(config).train)
    assert task.parse("59").file == square_files["train"]
    tested = {"test": square_files["train"], "test_labels": square_files["train_labels"]}
    held = parse_config({"task": "classify-image", "data": {**data, **tested}})
    task = ClassifyImage.fit(held, ClassifyImage.read(held).train)
    assert task.parse("59").index == 59
    tables = {"data": data, "model": {"name": "vit", "patch": 3}}
    patches = ClassifyImage(parse_config({"task": "classify-image", **tables}), "ab", (8, 8, 1))
    with pytest.raises(ConfigError, match="patch must divide the size of the images, got patch=3"):
        patches.build()
