"""Why something has its label: parts of image, sound and text."""

import pytest

pytest.importorskip("sklearn", reason="the extra images is not installed")


@pytest.fixture
def asked(ask):
    data = {"images": 100, "repeats": 1, "dev": 20, "test": 20}
    tables = {"data": data, "sound": {"bands": 10, "masks": 0}}
    small = {"width": 8, "heads": 2, "layers": 1, "feedforward": 8}
    return lambda **model: ask("fuse", **tables, model={**small, **model})


@pytest.mark.parametrize("attention", [True, False])
def test_every_modality_has_pieces(asked, attention):
    question = asked(attention=attention).question
    assert sum(name.startswith("image ") for name in question.pieces) == 16
    assert any(name.startswith("sound ") for name in question.pieces)
    assert (question.route is None) == (not attention)


def test_what_is_missing_has_none(asked):
    task, model = asked()[:2]
    example = task.parse("text=seven")
    (answer,) = task.answer(model, task.encode([example]))
    question = task.question(model, example, answer)
    assert question.pieces == tuple("seven")
