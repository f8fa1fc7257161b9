"""What tasks say in English has its words in Chinese; what models and people wrote stays."""

import re

import numpy as np
import pytest

from heedful.report.run_page.said import SAID, said_in_chinese
from heedful.report.run_page.words import Words
from heedful.tasks.catalog import BUILT_IN
from heedful.tasks.control.seeds import PlayedEpisode
from heedful.tasks.control.task import Control
from heedful.tasks.detect.images import Detection, Found
from heedful.tasks.generate_image.images import ImageScores, MadeImage
from heedful.tasks.segment.masks import SegmentedImage


def boxes(*labels):
    places = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0, "query": 0}
    found = (Found(label=label, score=0.9, **places) for label in labels)
    return str(Detection(tuple(found), 0.5))


def mask(*pixels):
    return str(SegmentedImage(np.array([pixels], np.uint8), (1, len(pixels))))


def image():
    scores = ImageScores(predicted="7", features=(), nearest=0.125)
    pixels = np.zeros((1, 1, 1), np.uint8)
    return str(MadeImage(pixels=pixels, label="3", seed=5, scores=scores, original=None))


def played(actions):
    return Control.show(Control, PlayedEpisode(seed=0, actions=actions, total=2.0))


@pytest.mark.parametrize(
    "task, said, chinese",
    [
        ("detect", boxes(), "未找到目标"),
        (
            "detect",
            boxes("cat", "red car"),
            "cat，位于 1 2，大小 3×4（90%）；red car，位于 1 2，大小 3×4（90%）",
        ),
        ("detect", "nothing; the surest box: 8 (15%)", "未找到目标；最有把握的框：8 (15%)"),
        ("classify-node", "n6 → b: itself and its neighbours", "n6 → b：自身及其邻居"),
        ("forecast", "rows before 3 a.m., by their first one", "3 a.m. 之前各段，以其首行命名"),
        ("control", "last of 9 steps, seed 4", "共 9 步的最后一步，随机种子 4"),
        ("segment", mask(0, 0), "无标签"),
        ("segment", mask(1, 0, 1, 2), "标签 1：50.0%，共 2 处；标签 2：25.0%，共 1 处"),
        ("segment", "label 2", "标签 2"),
        ("generate-image", image(), "3:5，被判为 7，与最近的训练图像相距 0.125"),
        ("control", played((0,)), "1 步，回报 2"),
        ("control", played((0, 1)), "2 步，回报 2"),
        ("control", "action 1", "动作 1"),
        ("control", "now", "现在"),
        ("fuse", "image 1,2", "图像 1,2"),
        ("fuse", "sound 0.25 s", "声音 0.25 秒"),
    ],
)
def test_what_a_task_says(task, said, chinese):
    assert said_in_chinese(said, task) == chinese
    assert Words("zh", task=task).said(said) == chinese
    assert Words("en", task=task).said(said) == said


@pytest.mark.parametrize("task, text", [("translation", "nothing"), ("detect", "now"), ("", "now")])
def test_what_was_written_stays(task, text):
    assert said_in_chinese(text, task) == text
    assert said_in_chinese("nothing, and more", "segment") == "nothing, and more"


def test_tasks_are_those_of_the_package():
    assert SAID.keys() <= BUILT_IN.keys()
    assert all(
        re.search("[\u4e00-\u9fff]", each) for said in SAID.values() for each in said.values()
    )
