"""Segmentation keeps to what every task keeps to, learns, and refuses what it cannot read."""

import json
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from heedful.data.overlaps import contradictions
from heedful.data.segments import Frame
from heedful.errors import ConfigError, DataError, RunError
from heedful.tasks.catalog import parse_config
from heedful.tasks.segment.config import Model
from heedful.tasks.segment.masks import SegmentedImage
from heedful.tasks.segment.task import Segment
from heedful.testing.tasks import TaskContract
from heedful.training.start import train

pytest.importorskip("PIL", reason="the extra images is not installed")
pytest.importorskip("scipy", reason="the extra images is not installed")
NUCLEI = Path(__file__).parents[4] / "shared" / "data" / "nuclei_dsb2018" / "dsb2018_96.npz"
SMALL = {"width": 4, "halvings": 2, "heads": 2}


@pytest.fixture(scope="session", autouse=True)
def pictures(tmp_path_factory):
    """Two pictures of any size, where the class below names them."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for path, size in zip(TestSegment.inputs, [(20, 30, 3), (16, 16, 3)], strict=True):
        Image.fromarray(random.integers(0, 256, size, np.uint8)).save(folder / path)
    return folder


class TestSegment(TaskContract):
    task = Segment
    inputs = ("one.png", "another.jpg")
    budget = "iou 50"
    learns = ("train.steps=60", "train.learning_rate=0.02", "train.augment=false")
    remembered = 30.0
    tables: ClassVar = {
        "data": {"examples": 34, "dev": 6, "test": 8},
        "model": SMALL,
        "train": {"steps": 4, "batch_size": 8, "precision": "fp32"},
    }

    @pytest.fixture(autouse=True)
    def _here(self, pictures, monkeypatch):
        monkeypatch.chdir(pictures)

    def expected(self, answers, examples):
        said, true = (np.array([getattr(a, x) for a in answers]) for x in ("mask", "truth"))
        both, sizes = (said & true).sum(), said.sum() + true.sum()
        alone = [
            100 * (a & b).sum() / max((a | b).sum(), 1) for a, b in zip(said, true, strict=True)
        ]
        none = [not (a | b).any() for a, b in zip(said, true, strict=True)]
        return {
            "iou": 100 * both / (sizes - both),
            "dice": 200 * both / sizes,
            "image_iou": np.mean(np.where(none, 100.0, alone)),
        }


# ---- learning -----------------------------------------------------------------------------------


def squares(folder, count=60):
    """Bright squares somewhere, among dark ones."""
    random = np.random.default_rng(1)
    images = random.integers(60, 90, (count, 16, 16), np.uint8)
    masks = np.zeros((count, 16, 16), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        for grey in (20, 20, 180):
            row, column = random.integers(0, 11, 2)
            image[row : row + 5, column : column + 5] = grey
            mask[row : row + 5, column : column + 5] = grey > 100
    np.savez(folder / "squares.npz", images=images, masks=masks)
    return {"name": "npz", "train": str(folder / "squares.npz"), "dev_share": 0.2}


def test_it_learns(tmp_path):
    config = parse_config(
        {
            "task": "segment",
            "output": str(tmp_path / "run"),
            "data": squares(tmp_path),
            "model": SMALL,
            "train": {"steps": 40, "learning_rate": 0.02, "precision": "fp32"},
        }
    )
    run = train(config)
    test = run.examples("test")
    data = run.task.encode(test)
    answers = run.task.answer(run.model, data)
    every = [SegmentedImage(np.ones_like(mask), mask.shape, mask) for mask in data.segments.masks]
    metric = run.task.metric("iou")
    learned, trivial = (metric.score(metric.statistics(a, test)) for a in (answers, every))
    assert trivial < 15
    assert learned > 60


# ---- what is refused ----------------------------------------------------------------------------


def config_of(**data):
    return parse_config({"task": "segment", "data": {"name": "npz", **data}})


def test_a_label_that_no_training_mask_holds_is_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, masks=(images[..., 0] > 128).astype(np.uint8))
    config = config_of(train=str(tmp_path / "a.npz"), classes=3, dev_share=0.2)
    with pytest.raises(DataError, match="hold each label from 0 to 2, got none with 2"):
        Segment.fit(config, Segment.read(config).train)


def test_halvings_leave_a_pixel(tmp_path):
    images = np.tile(np.arange(8, dtype=np.uint8) * 30, (20, 9, 1))
    images[:, 0] = np.arange(20)[:, None]  # all differ
    np.savez(tmp_path / "a.npz", images=images, masks=(images > 128).astype(np.uint8))
    config = config_of(train=str(tmp_path / "a.npz"), dev_share=0.2)
    examples = Segment.read(config).train
    Segment.fit(config, examples)
    deeper = config.model_copy(update={"model": Model(halvings=4)})
    message = "model.halvings must leave a pixel of images of 9 x 8, got 4"
    with pytest.raises(ConfigError, match=message):
        Segment.fit(deeper, examples)


def test_a_file_to_judge_with_is_read_as_the_training(tmp_path):
    config = config_of(**{k: v for k, v in squares(tmp_path, 9).items() if k != "name"})
    examples = Segment.read_file(config, tmp_path / "squares.npz")
    assert len(examples) == 9
    assert (
        Segment.read_file(parse_config({"task": "segment"}), tmp_path / "squares.npz") == examples
    )


@pytest.mark.parametrize("about", [{}, {"height": 4, "width": 0, "channels": 1}, {"height": "4"}])
def test_a_damaged_frame_is_refused(tmp_path, about):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "frame.json").write_text(json.dumps(about))
    with pytest.raises(RunError, match="must hold height, width and channels, got"):
        Segment.load(parse_config({"task": "segment"}), tmp_path)


def test_what_is_no_picture_is_refused(tmp_path):
    task = Segment(parse_config({"task": "segment"}), Frame(height=8, width=8, channels=1))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    for name, got in (("none.png", "got no such file"), ("broken.png", "PNG or JPEG image, got:")):
        with pytest.raises(DataError, match=re.escape(got)):
            task.encode([task.parse(str(tmp_path / name))])
    assert task.blank("")["labels"] == {}


@pytest.mark.skipif(not NUCLEI.exists(), reason="shared/data has no nuclei_dsb2018")
def test_nuclei_are_read():
    splits = Segment.read(config_of(train=str(NUCLEI)))
    assert sum(map(len, (splits.train, splits.dev, splits.test))) == 664
    assert len(splits.dev) > 50 < len(splits.test)


def test_one_image_with_two_masks_is_a_contradiction(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)[[0, 0, 0, 1, 2, 3]]
    masks = (images[..., 0] > 128).astype(np.uint8)
    masks[2, 0, 0] = 1 - masks[2, 0, 0]
    np.savez(tmp_path / "a.npz", images=images, masks=masks)
    examples = Segment.read_file(parse_config({"task": "segment"}), tmp_path / "a.npz")
    task = Segment(parse_config({"task": "segment"}), Frame(height=8, width=8, channels=3))
    said = contradictions(examples, task.identity, task.right_answers)
    assert said == ["1 of the 4 training inputs is there with answers that contradict each other"]
    same = [examples[0], *examples[3:], examples[1]]
    assert contradictions(same, task.identity, task.right_answers) == []
    assert task.right_answers(task.parse("a.png")) == frozenset()
