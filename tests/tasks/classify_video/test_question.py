"""Why a video has its label: patches of its frames, side by side."""

import pytest
import torch

from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_video.task import ClassifyVideo
from heedful.testing.questions import check_question
from heedful.training.start import build

pytest.importorskip("sklearn", reason="the extra images is not installed")


def asked(model):
    torch.manual_seed(1)
    config = parse_config(
        {
            "task": "classify-video",
            **{
                "data": {"examples": 60, "dev": 12, "test": 12},
                "model": {
                    "width": 8,
                    "heads": 2,
                    "layers": 1,
                    "feedforward": 8,
                    "frames": 3,
                    "patch": 10,
                    **model,
                },
            },
        }
    )
    splits = ClassifyVideo.read(config)
    task = ClassifyVideo.fit(config, splits.train)
    model, example = build(task).eval(), splits.test[0]
    (answer,) = task.answer(model, task.encode([example]))
    question = task.question(model, example, answer)
    check_question(question, model)
    return task, model, example, question


@pytest.mark.parametrize("time", ["attention", "mean"])
def test_the_frames_stand_side_by_side(time):
    task, _, example, question = asked({"time": time})
    side = task.size // 10
    assert question.shape == (side, 3 * side)
    whole = task.encode([example]).batch([0], "cpu")["videos"]
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    torch.testing.assert_close(question.inputs(kept), whole)
    kept[0, side] = False  # the upper left patch of the second frame
    changed = (question.inputs(kept) != whole)[0].any(1)
    frames, rows, columns = changed.nonzero().T
    assert set(frames.tolist()) == {1}
    assert max(rows.tolist() + columns.tolist()) < 10
