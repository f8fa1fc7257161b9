"""Detection keeps to what every task keeps to, learns, and refuses what it cannot read."""

import json
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from heedful.data.boxes import Box
from heedful.data.overlaps import contradictions
from heedful.errors import DataError, RunError
from heedful.models.detector import Detector
from heedful.tasks.catalog import parse_config
from heedful.tasks.detect.config import queries_of
from heedful.tasks.detect.examples import Boxed
from heedful.tasks.detect.images import Detection, Found
from heedful.tasks.detect.task import Detect
from heedful.testing.tasks import TaskContract
from heedful.training.start import train

image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
pytest.importorskip("sklearn", reason="the extra images is not installed")
NUCLEI = Path(__file__).parents[4] / "shared" / "data" / "nuclei_dsb2018" / "dsb2018_96.npz"
SMALL = {"width": 32, "heads": 2, "decoder_layers": 1}


@pytest.fixture(scope="session", autouse=True)
def pictures(tmp_path_factory):
    """Two pictures of any size, where the class below names them."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for path, size in zip(TestDetect.inputs, [(20, 30, 3), (16, 16, 3)], strict=True):
        image.fromarray(random.integers(0, 256, size, np.uint8)).save(folder / path)
    return folder


class TestDetect(TaskContract):
    task = Detect
    inputs = ("one.png", "another.jpg")
    learns = ("train.steps=60", "train.learning_rate=0.003")
    remembered = 5.0
    tables: ClassVar = {
        "data": {"train": 24, "dev": 6, "test": 8},
        "model": SMALL,
        "train": {"steps": 4, "batch_size": 8, "precision": "fp32"},
    }

    @pytest.fixture(autouse=True)
    def _here(self, pictures, monkeypatch):
        monkeypatch.chdir(pictures)

    def expected(self, answers, examples):
        labels = sorted({box.label for each in examples for box in each.boxes})
        areas, recalls = [], []
        for label in labels:
            told, count = [], 0
            for answer, example in zip(answers, examples, strict=True):
                free = [box for box in example.boxes if box.label == label]
                count += len(free)
                for found in answer.boxes:
                    if found.label != label:
                        continue
                    best = max(free, key=found.overlap, default=None)
                    right = best is not None and found.overlap(best) >= 0.5
                    if right:
                        free.remove(best)
                    told.append((found.score, right))
            told.sort(key=lambda pair: -pair[0])
            hits = np.cumsum([right for _, right in told])
            precision = hits / np.arange(1, len(told) + 1)
            best = np.maximum.accumulate(precision[::-1])[::-1] if told else precision
            rights = np.array([right for _, right in told], bool)
            areas.append(best[rights].sum() / count if told else 0.0)
            recalls.append(rights.sum() / count)
        return {"ap50": 100 * np.mean(areas), "recall50": 100 * np.mean(recalls)}


# ---- learning -----------------------------------------------------------------------------------


def squares(folder, count=80):
    """A bright square and a dark one somewhere."""
    random = np.random.default_rng(1)
    images = random.integers(110, 140, (count, 16, 16), np.uint8)
    masks = np.zeros((count, 16, 16), np.uint8)
    for picture, mask in zip(images, masks, strict=True):
        for label, (grey, column) in enumerate(((20, 0), (240, 8)), 1):
            row, beside = random.integers(0, 10), column + random.integers(0, 3)
            picture[row : row + 5, beside : beside + 5] = grey
            mask[row : row + 5, beside : beside + 5] = label
    np.savez(folder / "squares.npz", images=images, masks=masks)
    return {"name": "masks", "train": str(folder / "squares.npz"), "dev_share": 0.2}


def test_it_learns(tmp_path):
    config = parse_config(
        {
            "task": "detect",
            "output": str(tmp_path / "run"),
            "data": squares(tmp_path),
            "model": SMALL,
            "train": {"steps": 60, "learning_rate": 0.005, "precision": "fp32"},
        }
    )
    run = train(config)
    test = run.examples("test")
    answers = run.task.answer(run.model, run.task.encode(test))
    middle = Found(label="1", x=5.5, y=5.5, width=5, height=5, score=1, query=0)
    trivial = [Detection((middle,), least=0.5)] * len(test)
    metric = run.task.metric("ap50")
    learned, nothing = (metric.score(metric.statistics(a, test)) for a in (answers, trivial))
    assert nothing < 10
    assert learned > 50


# ---- what is refused ----------------------------------------------------------------------------


def test_boxes_that_are_unsure_are_not_shown():
    task = Detect(parse_config({"task": "detect"}), ["a"], None)
    found = Found(label="a", x=1, y=2, width=3, height=4, score=0.4, query=0)
    assert task.show(Detection((found,), least=0.5)) == "nothing"
    assert task.blank(" ") == {"image": " ", "boxes": []}


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("size", [(48, 48), (50, 41)])
def test_there_are_as_many_queries_as_the_network_has(every, size):
    config = parse_config({"task": "detect", "model": {"width": 16, "heads": 2, "every": every}})
    settings = config.model.model_dump()
    said = Detector(labels=2, channels=1, **settings)(torch.zeros(1, 1, *size))
    assert said.logits[-1].shape[1] == queries_of(config.model, *size)


def test_an_image_with_more_boxes_than_queries_is_refused():
    config = parse_config({"task": "detect", "model": {"every": 4}})  # 3 x 3 queries
    boxes = tuple(Box(label="x", x=n, y=n, width=2, height=2) for n in range(10))
    assert Detect.fit(config, [Boxed("a.png", 0, boxes[:9])]).labels == ["x"]
    message = "a.png, image 0, must have no more boxes than the 9 queries, got 10"
    with pytest.raises(DataError, match=message):
        Detect.fit(config, [Boxed("a.png", 0, boxes)])


def test_a_training_split_without_a_box_is_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, masks=np.zeros((20, 4, 4), np.uint8))
    data = {"name": "masks", "train": str(tmp_path / "a.npz"), "dev_share": 0.2}
    config = parse_config({"task": "detect", "data": data})
    with pytest.raises(
        DataError, match="an image of the training split must have a box in it, got"
    ):
        Detect.fit(config, Detect.read(config).train)


def test_a_file_to_judge_with_is_read_as_the_training(tmp_path):
    config = parse_config({"task": "detect", "data": squares(tmp_path, 9)})
    examples = Detect.read_file(config, tmp_path / "squares.npz")
    assert [len(each.boxes) for each in examples] == [2] * 9


FRAME = {"height": 4, "width": 4, "channels": 1}


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"labels": ["a"], "frame": {**FRAME, "width": 0}},
        {"labels": ["a", "a"], "frame": FRAME},
        {"labels": [1], "frame": FRAME},
        {"labels": [], "frame": FRAME},
        {"labels": ["a"], "frame": 7},
    ],
)
def test_a_damaged_file_is_refused(tmp_path, about):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "things.json").write_text(json.dumps(about))
    with pytest.raises(RunError, match="must hold labels and a frame, got"):
        Detect.load(parse_config({"task": "detect"}), tmp_path)


@pytest.mark.skipif(not NUCLEI.exists(), reason="shared/data has no nuclei_dsb2018")
def test_nuclei_are_boxed():
    data = {"name": "masks", "train": str(NUCLEI)}
    splits = Detect.read(parse_config({"task": "detect", "data": data}))
    boxes = [box for each in (*splits.train, *splits.dev, *splits.test) for box in each.boxes]
    assert 20_000 < len(boxes) < 23_000
    assert {box.label for box in boxes} == {"thing"}
    assert re.fullmatch(r"[0-9a-f]{16}", splits.dev[0].hash)


def test_one_image_with_other_boxes_is_a_contradiction():
    task = Detect(parse_config({"task": "detect"}), ["a"], None)
    here, there = (Box(label="a", x=x, y=1, width=2, height=2) for x in (1, 5))

    def said(*boxes):
        examples = [Boxed(f"{n}.png", 0, each, hash="same") for n, each in enumerate(boxes)]
        return contradictions(examples, task.identity, task.right_answers)

    wrong = ["1 of the 1 training inputs is there with answers that contradict each other"]
    assert said((here, there), (there, here)) == []  # in any order
    assert said((here,), (there,)) == said((here,), (here, here)) == said((here,), ()) == wrong
    assert task.right_answers(task.parse("a.png")) == frozenset()
