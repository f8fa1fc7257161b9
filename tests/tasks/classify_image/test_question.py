"""Why an image has its label: the cells in which the model attends."""

from functools import partial

import pytest
import torch

from heedful.explaining.explain import explain_question

pytest.importorskip("sklearn", reason="the extra images is not installed")


@pytest.fixture
def asked(ask):
    return partial(ask, "classify-image", data={"dev": 20, "test": 20})


MODELS = {
    "vit": ({"name": "vit", "width": 8, "heads": 2, "patch": 2, "feedforward": 8}, (4, 4)),
    "self-attention": ({"name": "cnn", "width": 4, "stages": 2}, (4, 4)),
    "none": ({"name": "cnn", "width": 4, "attention": "none"}, (8, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_cells_are_those_of_the_model(asked, name):
    model, shape = MODELS[name]
    question = asked(model=model).question
    assert question.shape == shape
    assert (question.route is None) == (name == "none")


@pytest.mark.parametrize("name", MODELS)
def test_behind_convolutions_cells_are_taken_away(asked, name):
    asked = asked(model=MODELS[name][0])
    found = explain_question(asked.model, asked.question, test=False)
    assert found.method == ("gradient-attention" if name == "vit" else "occlusion")


def test_the_whole_image_is_what_was_answered(asked):
    task, _, example, question = asked(model=MODELS["vit"][0])
    whole = task.encode([example]).batch([0], "cpu")["images"]
    kept = torch.ones(1, 16, dtype=torch.bool)
    torch.testing.assert_close(question.inputs(kept), whole)
    kept[0, 5] = False
    changed = (question.inputs(kept) != whole)[0].any(0)
    rows, columns = changed.nonzero().T
    assert set(rows.tolist()) <= {2, 3}
    assert set(columns.tolist()) <= {2, 3}
