"""Why a video has its label: patches of its frames, side by side."""

import pytest
import torch

pytest.importorskip("sklearn", reason="the extra images is not installed")


@pytest.fixture
def asked(ask):
    data = {"examples": 60, "dev": 12, "test": 12}
    small = {"width": 8, "heads": 2, "layers": 1, "feedforward": 8, "frames": 3, "patch": 10}
    return lambda **model: ask("classify-video", data=data, model={**small, **model})


@pytest.mark.parametrize("time", ["attention", "mean"])
def test_the_frames_stand_side_by_side(asked, time):
    task, _, example, question = asked(time=time)
    assert question.method == "occlusion"  # by which more holds
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
