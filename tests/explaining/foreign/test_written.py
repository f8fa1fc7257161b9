"""Texts that are written: each token owes something to what was read, given those before it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from heedful.errors import ConfigError
from heedful.explaining.foreign import written as module
from heedful.explaining.foreign.tokens import numbered
from heedful.explaining.foreign.written import why_continued, why_written
from heedful.explaining.methods import METHODS, find_method
from heedful.explaining.scores import log_odds

sys.path.insert(0, str(Path(__file__).parent))
from small_models import bart, gpt2, llama, t5

PROMPT, WRITTEN = (1, 11, 12, 13), (21, 22, 23)
SOURCE = (1, 11, 12, 13, 14, 2)


def prompt():
    return numbered(PROMPT, "[abc", markers={1})


def source():
    return numbered(SOURCE, "[abcd]", markers={1, 2})


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_explains_a_continuation(name, make):
    model = make()
    question = why_continued(model, prompt(), WRITTEN, "xyz")
    assert question.route.rows == (3, 4, 5)
    found = find_method(name)(model, question)
    assert found.weights.shape == (3, 3)
    assert (abs(found.weights).max(1) > 1e-7).all()
    assert found.error < 1e-4


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("numbers", [1, 2**26])
def test_scores_are_those_of_each_copy_alone(numbers, make, monkeypatch):
    monkeypatch.setattr(module, "NUMBERS", numbers)
    model = make()
    question = why_continued(model, prompt(), WRITTEN, "xyz")
    kept = torch.tensor([[1, 1, 1], [0, 1, 0], [0, 0, 0]]).bool()
    with torch.no_grad():
        scores = question.scores(model, question.inputs(kept))
    for copy, row in zip(kept, scores, strict=True):
        left = [n for n, stays in zip(PROMPT[1:], copy, strict=True) if stays]
        logits = model(torch.tensor([[1, *left, *WRITTEN]])).logits[0, len(left) : len(left) + 3]
        expected = log_odds(logits, torch.tensor(WRITTEN))
        torch.testing.assert_close(row, expected, rtol=1e-3, atol=1e-3)


def test_rollout_reads_the_rows_before_each_token():
    model, eager = llama(), llama(implementation="eager")
    question = why_continued(model, prompt(), WRITTEN, "xyz")
    weights = find_method("rollout")(model, question).weights
    maps = eager(torch.tensor([[*PROMPT, *WRITTEN[:-1]]]), output_attentions=True).attentions
    product = torch.eye(6)
    for each in maps:
        product = (0.5 * each[0].mean(0) + 0.5 * torch.eye(6)) @ product
    np.testing.assert_allclose(weights, product[3:, 1:4].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("make", [bart, t5])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_explains_what_an_encoder_decoder_writes(name, make):
    model = make()
    question = why_written(model, source(), WRITTEN, "xyz")
    assert len(question.route.steps) == 6
    found = find_method(name)(model, question)
    assert found.weights.shape == (3, 4)
    assert (abs(found.weights).max(1) > 1e-7).all()
    assert found.error < 1e-4


def test_what_is_written_is_asked_token_by_token():
    model = bart()
    question = why_written(model, source(), WRITTEN, "xyz")
    kept = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1]]).bool()
    scores = question.scores(model, question.inputs(kept))
    for copy, row in zip(kept, scores, strict=True):
        left = [n for n, stays in zip(SOURCE[1:-1], copy, strict=True) if stays]
        begun = torch.tensor([[2, 21, 22]])
        logits = model(torch.tensor([[1, *left, 2]]), decoder_input_ids=begun).logits[0]
        expected = log_odds(logits, torch.tensor(WRITTEN))
        torch.testing.assert_close(row, expected, rtol=1e-3, atol=1e-3)


class Plain(nn.Module):
    """An encoder-decoder of torch's own parts."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(64, 16)
        self.inner = nn.Transformer(16, 2, 1, 2, 24, batch_first=True)
        self.answer = nn.Linear(16, 64)

    def forward(self, copies, before):
        causal = nn.Transformer.generate_square_subsequent_mask(before.shape[1])
        x = self.inner(
            self.embedding(copies.tokens),
            self.embedding(before),
            tgt_mask=causal.isinf(),
            src_key_padding_mask=~copies.there,
            memory_key_padding_mask=~copies.there,
        )
        return self.answer(x)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_model_of_torch():
    torch.manual_seed(0)
    model = Plain().eval()
    question = why_written(
        model,
        source(),
        WRITTEN,
        "xyz",
        start=1,
        ask=lambda model, copies, before: model(copies, before),
        embedding="embedding",
    )
    assert len(question.route.steps) == 5
    for name in METHODS:
        found = find_method(name)(model, question)
        assert found.weights.shape == (3, 4)
        assert (abs(found.weights).max(1) > 0).all()


def test_rejects_names_that_do_not_fit_and_no_beginning():
    with pytest.raises(ConfigError, match=r"names must be as many as .* got 2 of 3"):
        why_continued(llama(), prompt(), WRITTEN, "xy")
    with pytest.raises(ConfigError, match=r"names must be as many as .* got 0 of 0"):
        why_written(bart(), source(), (), ())
    with pytest.raises(ConfigError, match="start must be the token that writing begins with"):
        why_written(Plain(), source(), WRITTEN, "xyz")
