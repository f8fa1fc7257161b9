"""Why an image has its label: the cells in which the model attends."""

import pytest
import torch

from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_image.task import ClassifyImage
from heedful.testing.questions import check_question
from heedful.training.start import build

pytest.importorskip("sklearn", reason="the extra images is not installed")


def asked(model):
    torch.manual_seed(1)
    config = parse_config(
        {"task": "classify-image", **{"data": {"dev": 20, "test": 20}, "model": model}}
    )
    splits = ClassifyImage.read(config)
    task = ClassifyImage.fit(config, splits.train)
    model, example = build(task).eval(), splits.test[0]
    (answer,) = task.answer(model, task.encode([example]))
    question = task.question(model, example, answer)
    check_question(question, model)
    return task, model, example, question


MODELS = {
    "vit": ({"name": "vit", "width": 8, "heads": 2, "patch": 2, "feedforward": 8}, (4, 4)),
    "self-attention": ({"name": "cnn", "width": 4, "stages": 2}, (4, 4)),
    "none": ({"name": "cnn", "width": 4, "attention": "none"}, (8, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_cells_are_those_of_the_model(name):
    model, shape = MODELS[name]
    question = asked(model)[3]
    assert question.shape == shape
    assert (question.route is None) == (name == "none")


def test_the_whole_image_is_what_was_answered():
    task, _, example, question = asked(MODELS["vit"][0])
    whole = task.encode([example]).batch([0], "cpu")["images"]
    kept = torch.ones(1, 16, dtype=torch.bool)
    torch.testing.assert_close(question.inputs(kept), whole)
    kept[0, 5] = False
    changed = (question.inputs(kept) != whole)[0].any(0)
    rows, columns = changed.nonzero().T
    assert set(rows.tolist()) <= {2, 3}
    assert set(columns.tolist()) <= {2, 3}
