"""Why things were found: the cells on which queries stand, and where these looked."""

import numpy as np
import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.explaining.attention import attention
from heedful.explaining.explain import explain_question
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.scores import log_odds
from heedful.probing.probe import probe
from heedful.tasks.detect.images import Detection, Found

pytest.importorskip("sklearn", reason="the extra images is not installed")
SMALL = {"width": 32, "stride": 8, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}


@pytest.fixture
def asked(ask):
    data = {"train": 20, "dev": 4, "test": 4}
    return lambda **model: ask("detect", data=data, model={**SMALL, **model})


def found(task, *queries, score=0.9):
    boxes = [
        Found(label=task.labels[3], x=0, y=0, width=9, height=9, score=score, query=query)
        for query in queries
    ]
    return Detection(tuple(boxes), least=0.5)


def whole(question):
    return torch.ones(1, len(question.pieces), dtype=torch.bool)


@torch.no_grad()
def test_a_box_has_the_odds_of_its_query(asked):
    task, model, example, _ = asked()
    torch.nn.init.normal_(model.label.weight)
    question = task.question(model, example, found(task, 5, 2))
    logits = model(task.encode([example]).batch([0], "cpu")[0]).logits[-1, 0, [5, 2]]
    expected = log_odds(logits, torch.tensor([3, 3]))
    scores = question.scores(model, question.inputs(whole(question)))
    assert question.targets == (f"{task.labels[3]} (90%)",) * 2
    torch.testing.assert_close(scores[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_pieces_are_the_cells_of_queries(asked, every):
    question = asked(every=every, stride=4).question
    cells = -(-question.canvas.shape[0] // 4)
    side = cells // every
    assert question.shape == (side, side)
    assert len(question.embedded) == cells**2
    assert {*question.embedded} == {*range(side**2)}


@torch.no_grad()
def test_slopes_add_up(asked):
    _, model, _, question = asked()
    for parameter in model.parameters():  # much of it begins at zero
        parameter.add_(0.1 * torch.randn_like(parameter))
    kept = whole(question)
    scores = question.scores(model, question.inputs(torch.cat([kept, ~kept])))
    slopes = integrated_gradients(model, question).weights.sum(1)
    np.testing.assert_allclose(slopes, (scores[0] - scores[1]).numpy(), rtol=0.05)


def test_raw_attention_is_that_of_the_query(asked):
    task, model, example, _ = asked()
    question = task.question(model, example, found(task, 5))
    site = "decoder.1.cross_attention"
    with torch.no_grad(), probe(model, sites=site) as heard:
        model(task.encode([example]).batch([0], "cpu")[0])
    expected = heard.maps(site)[0].mean(0)[5]
    np.testing.assert_allclose(attention(model, question).weights[0], expected, atol=1e-5)


def test_behind_convolutions_cells_are_taken_away(asked):
    task, model, example, _ = asked()
    question = task.question(model, example, found(task, 2))
    assert question.route is not None
    assert explain_question(model, question, test=False).method == "occlusion"


def test_without_a_decoder_attention_leads_nowhere(asked):
    assert asked(decoder_layers=0).question.route is None


def test_where_no_box_is_sure_the_surest_is_asked_for(asked):
    task, model, example, _ = asked()
    question = task.question(model, example, found(task, 4, 1, score=0.2))
    assert question.targets == (f"{task.labels[3]} (20%)",)
    assert question.title == f"nothing; the surest box: {task.labels[3]} (20%)"
    assert task.question(model, example, found(task, 4)).title == str(found(task, 4))


def test_an_image_without_any_box_is_refused(asked):
    task, model, example, _ = asked()
    with pytest.raises(UnsupportedError, match="must have a box found in it to be explained"):
        task.question(model, example, found(task))
