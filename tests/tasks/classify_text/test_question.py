"""Why a text has its label: what may be left out is what was read."""

import pytest
import torch

from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.scores import log_odds
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_text.task import ClassifyText
from heedful.tasks.classify_text.texts import Labelled
from heedful.training.start import build

EXAMPLES = [Labelled("Good film, really", "yes"), Labelled("so very bad", "no")]


def asked(name="pooling", longest=512):
    torch.manual_seed(3)
    tables = {
        "task": "classify-text",
        "tokens": {"max_length": longest},
        "model": {"name": name, "width": 16},
    }
    task = ClassifyText.fit(parse_config(tables), EXAMPLES)
    model = build(task).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # output layers begin at zero
            parameter.add_(0.3 * torch.randn_like(parameter))
    answer = task.answer(model, task.encode(EXAMPLES[:1]))[0]
    return task, model, task.question(model, EXAMPLES[0], answer), answer


def test_the_whole_text_has_the_score_of_the_answer():
    task, model, question, answer = asked()
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    batch = task.encode(EXAMPLES[:1]).batch([0], "cpu")
    label = torch.tensor([task.labels[answer.label]])
    expected = log_odds(task.logits(model, batch), label)
    torch.testing.assert_close(question.scores(model, question.inputs(kept))[:, 0], expected)


def test_a_word_that_is_left_out_was_never_there():
    task, model, question, answer = asked()
    kept = torch.tensor([[True, False, True, True]])
    batch = task.encode([Labelled("Good, really")]).batch([0], "cpu")
    expected = log_odds(task.logits(model, batch), torch.tensor([task.labels[answer.label]]))
    assert question.pieces == ("Good", " film", ",", " really")
    torch.testing.assert_close(question.scores(model, question.inputs(kept))[:, 0], expected)


@pytest.mark.parametrize("name", ["pooling", "lstm", "cnn", "transformer"])
def test_slopes_explain_short_texts(name):
    _, model, question, _ = asked(name)
    assert question.method == "integrated-gradients"
    assert integrated_gradients(model, question, steps=4).weights.any(0).all()


def test_slopes_do_not_explain_long_texts():
    task, model, _, answer = asked(longest=2000)
    assert (
        task.question(model, Labelled("so" + " so" * 511), answer).method == "integrated-gradients"
    )
    assert task.question(model, Labelled("so" + " so" * 512), answer).method == ""


@pytest.mark.parametrize("name", ["pooling", "lstm", "transformer"])
def test_every_network_can_be_asked(name):
    _, model, question, _ = asked(name)
    found = gradient_attention(model, question)
    assert found.weights.shape == (1, 4)
    assert found.weights.min() >= 0 < found.weights.max()
    assert found.error < 1e-5
