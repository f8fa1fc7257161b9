"""Video classification keeps to what every task keeps to, learns, and refuses bad videos."""

import json
import re
import shutil
from typing import ClassVar

import numpy as np
import pytest

from heedful.errors import DataError, RunError
from heedful.evaluation import evaluate
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_video.task import ClassifyVideo
from heedful.testing.tasks import ClassificationContract
from heedful.training.start import train

pytest.importorskip("sklearn", reason="the extra images is not installed")
SMALL = {"width": 16, "heads": 2, "layers": 1, "feedforward": 16, "frames": 3, "patch": 4}


class TestClassifyVideo(ClassificationContract):
    task = ClassifyVideo
    inputs = ("3", " 17 ")
    learns = ("train.steps=100", "train.learning_rate=0.02")
    tables: ClassVar = {
        "data": {"examples": 90, "dev": 20, "test": 20, "noise": 0.0},
        "model": {**SMALL, "patch": 10},
        "train": {"steps": 6, "batch_size": 16, "precision": "fp32"},
    }

    @pytest.mark.parametrize("given", ["", "x", "1.5", "-1", "²", "none/frames", "a.npz"])
    def test_what_is_no_video_is_refused(self, run, given):
        message = f"where the data has numbers, got {json.dumps(given, ensure_ascii=False)}"
        with pytest.raises(DataError, match=re.escape(message)):
            run.task.parse(given)

    @pytest.mark.parametrize("about", ["[]", "{}", '{"size": 8, "channels": 2}', '{"size": true}'])
    def test_damaged_sizes_are_refused(self, run, tmp_path, about):
        shutil.copytree(run.folder / "task", tmp_path / "task")
        (tmp_path / "task" / "videos.json").write_text(about)
        with pytest.raises(RunError, match=r"videos.json must"):
            ClassifyVideo.load(run.config, tmp_path)

    def test_the_picture_is_a_strip_of_frames(self, run):
        task, example = run.task, run.examples("test")[0]
        data = task.encode([example])
        answer = task.answer(run.model, data)[0]
        picture = task.picture(run.model, example, answer)
        assert np.shape(picture.pixels) == (20, 3 * 20, 1)
        (found,) = picture.maps
        assert np.array_equal(np.array(picture.pixels)[:, 20:40], data.pixels[0, 1])
        shares = np.array(found.weights).reshape(2, 3, 2)
        assert np.allclose(shares.sum((0, 2)), 1 / 3)  # each frame is pooled alone
        own = task.pooling_weights(run.model, data)[1].view(2, 2)
        assert np.allclose(shares[:, 1] * 3, own, atol=1e-5)
        assert (found.word, shares.max()) == (answer.label, found.weights[found.row][found.column])


@pytest.mark.parametrize(
    "model, least, most", [({}, 70, 100), ({"time": "mean"}, 0, 65), ({"frames": 1}, 0, 65)]
)
def test_order_is_learned_by_attention_over_time_alone(tmp_path, model, least, most):
    """A bright column moves to the left or to the right, from anywhere."""
    random = np.random.default_rng(0)
    starts, sides = random.integers(0, 8, 240), random.integers(0, 2, 240)
    places = starts[:, None] + np.where(sides, 2, -2)[:, None] * np.arange(3)
    videos = np.zeros((240, 3, 8, 8), np.uint8)
    for width in range(2):
        column = (places + width) % 8
        np.put_along_axis(videos, np.repeat(column[:, :, None, None], 8, 2), 255, 3)
    np.savez(tmp_path / "v.npz", videos=videos, labels=np.array(["left", "right"])[sides])
    data = {"name": "npz", "train": str(tmp_path / "v.npz"), "dev_examples": 100}
    settings = {"steps": 80, "batch_size": 32, "learning_rate": 0.02, "precision": "fp32"}
    tables = {"task": "classify-video", "output": str(tmp_path / "run"), "train": settings}
    whole = {**SMALL, "patch": 2, **model}
    run = train(parse_config({**tables, "data": data, "model": whole}))
    assert least <= evaluate(run, split="dev").scores["accuracy"].score <= most


# ---- videos of the user's own --------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Red and blue videos, each a folder of frames, in one folder for each colour."""
    image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
    for row, colour in enumerate(("blue", "red")):
        for part, count in (("train", 4), ("test", 2)):
            for number in range(count):
                video = tmp_path / part / colour / f"video{number}"
                video.mkdir(parents=True)
                pixel = [10 * number + (part == "test")] * 3
                pixel[2 - 2 * row] = 250
                for frame in range(3):
                    image.new("RGB", (12, 10), tuple(pixel)).save(video / f"{frame}.png")
    return tmp_path


def of_folder(folder, **more):
    data = {"name": "folder", "train": str(folder / "train"), "test": str(folder / "test")}
    tables = {"task": "classify-video", "data": {**data, "dev_examples": 2, "size": 8, **more}}
    settings = {"steps": 4, "batch_size": 4, "precision": "fp32"}
    return parse_config({**tables, "model": SMALL, "train": settings})


def test_folders_of_frames_are_learned(folder, tmp_path):
    config = of_folder(folder).model_copy(update={"output": str(tmp_path / "run")})
    run = train(config)
    path = str(folder / "test" / "red" / "video1")
    (answer,) = run.answer([path])
    plain = run.task.to_json(run.task.parse(path), answer)
    assert plain["file"] == path
    assert plain["shares"].keys() == {"blue", "red"}
    np.savez(tmp_path / "v.npz", videos=np.zeros((2, 3, 8, 8, 3), np.uint8))
    assert run.task.parse(f"{tmp_path / 'v.npz'}:1").index == 1
    np.savez(tmp_path / "w.npz", videos=np.zeros((2, 3, 9, 9, 3), np.uint8))
    with pytest.raises(
        DataError, match=re.escape("as in training, (3, 8, 8, 3), got (3, 9, 9, 3)")
    ):
        run.answer([f"{tmp_path / 'w.npz'}:1"])
    with pytest.raises(DataError, match="a video must be a folder of frames"):
        run.task.parse("3")


def test_a_label_that_is_only_held_out_is_refused(folder):
    (folder / "test" / "red").rename(folder / "test" / "pink")
    with pytest.raises(DataError, match=r"the test split must have labels of the .*, got 'pink'"):
        ClassifyVideo.read(of_folder(folder))


def test_frames_that_are_not_square_are_refused(tmp_path):
    videos, labels = np.zeros((3, 2, 4, 6), np.uint8), np.array([0, 1, 0])
    np.savez(tmp_path / "v.npz", videos=videos, labels=labels)
    data = {"name": "npz", "train": str(tmp_path / "v.npz"), "dev_examples": 1}
    config = parse_config({"task": "classify-video", "data": data, "model": SMALL})
    references = ClassifyVideo.read(config).train
    with pytest.raises(DataError, match="frames must be square, got 4 x 6"):
        ClassifyVideo.fit(config, [*references, *references])


def test_a_file_gives_its_videos_by_number(tmp_path):
    videos, labels = np.zeros((6, 3, 8, 8), np.uint8), np.array([0, 1] * 3)
    videos += np.arange(6, dtype=np.uint8)[:, None, None, None]
    np.savez(tmp_path / "v.npz", videos=videos, labels=labels)
    data = {"name": "npz", "train": str(tmp_path / "v.npz"), "dev_examples": 1}
    config = parse_config({"task": "classify-video", "data": data, "model": SMALL})
    task = ClassifyVideo(config, ["0", "1"], 8, 1)
    assert task.parse("5").file == str(tmp_path / "v.npz")
    with pytest.raises(DataError, match="must hold video 6, got videos 0 to 5"):
        task.parse("6")
