"""One answer explained and judged: the method by the model, the verdict by what it does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.explaining.explain import explain_question
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder
from heedful.nn.pooling import AttentionPooling

PIECES = 12
PLANTED = 7  # what decides


class Reader(nn.Module):
    """Pools vectors by attention; the answer is the first number of what was pooled."""

    def __init__(self):
        super().__init__()
        self.pooling = AttentionPooling(width=4, heads=1)

    def forward(self, x):
        return self.pooling(x)[:, 0, :1]


def model_and_question(*, attention=True):
    torch.manual_seed(0)
    model = Reader() if attention else nn.Linear(4, 1)
    x = 0.1 * torch.randn(1, PIECES, 4)

    def inputs(kept):
        return torch.where(kept[..., None], x, 0.0)

    def scores(model, batch):
        if attention:
            return model(batch)
        return model(batch).sum(1) + 9 * batch[:, PLANTED, :1].abs()

    question = Question(
        pieces=tuple(f"piece {n}" for n in range(PIECES)),
        targets=("yes",),
        inputs=inputs,
        scores=scores,
        removal="set to zero",
        route=encoder(model, range(PIECES), pooling="pooling") if attention else None,
        title="what it is",
    )
    return model, question


def test_with_attention_its_gradient_is_taken_and_without_pieces_are_removed():
    assert explain_question(*model_and_question(), test=False).method == "gradient-attention"
    found = explain_question(*model_and_question(attention=False), test=False)
    assert (found.method, found.error, found.word) == ("occlusion", 0.0, "not tested")
    assert abs(found.weights[0]).argmax() == PLANTED


def test_a_question_knows_what_explains_it_best():
    model, question = model_and_question()
    question = replace(question, method="rollout")
    assert explain_question(model, question, test=False).method == "rollout"
    named = explain_question(model, question, method="attention", test=False)
    assert named.method == "attention"


def test_a_verdict_comes_with_its_numbers():
    found = explain_question(*model_and_question(), method="occlusion", draws=50, seed=3)
    assert found.verdict.draws == 50
    assert found.word == found.verdict.word != "not tested"
    again = explain_question(*model_and_question(), method="occlusion", draws=50, seed=3)
    assert again.to_json() == found.to_json()


def test_the_question_goes_with_the_explanation():
    model, question = model_and_question()
    found = explain_question(model, question, test=False)
    assert found.pieces == question.pieces
    assert (found.title, found.removal, found.shape) == ("what it is", "set to zero", (PIECES,))
    assert found.to_json()["weights"] == found.weights.tolist()


def test_one_head_of_one_site_is_raw_attention():
    model, question = model_and_question()
    found = explain_question(
        model, question, method="attention", site="pooling", head=0, test=False
    )
    assert found.method == "attention of pooling, head 0"
    assert found.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(
        found.weights, explain_question(model, question, method="attention", test=False).weights
    )


@pytest.mark.parametrize(
    "given, message",
    [
        ({"method": "guess"}, "method must be one of"),
        ({"method": "rollout", "head": 0}, "must come with the method attention, got rollout"),
        ({"method": "attention", "site": "x"}, "site must be one of pooling, got 'x'"),
        ({"method": "attention", "head": 4}, "head must be in 0 to 0 at pooling, got 4"),
    ],
)
def test_what_there_is_not_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        explain_question(*model_and_question(), test=False, **given)


def test_attention_that_is_not_there_cannot_explain():
    with pytest.raises(UnsupportedError, match="occlusion asks for no attention"):
        explain_question(*model_and_question(attention=False), method="attention", test=False)


def test_a_model_of_inference_mode_has_no_gradients():
    with torch.inference_mode():
        model, question = model_and_question()
    with pytest.raises(UnsupportedError, match="outside of inference mode"):
        explain_question(model, question, test=False)
