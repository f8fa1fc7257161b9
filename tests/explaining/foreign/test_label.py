"""Labels and vectors: read where the model reads them, removed as the model would see it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.explaining.explain import explain_question
from heedful.explaining.foreign.label import mean_state, why_label, why_similar
from heedful.explaining.foreign.tokens import Copies, numbered
from heedful.explaining.methods import METHODS, find_method
from heedful.explaining.scores import log_odds
from heedful.probing.probe import probe

sys.path.insert(0, str(Path(__file__).parent))
from small_models import PAIR, TEXT, bert, build, llama

NUMBERS = (1, 11, 12, 13, 14, 15, 2)
NAMES = ("[", "a", "b", "c", "d", "e", "]")


def text(**settings):
    return numbered(NUMBERS, NAMES, markers={1, 2}, **settings)


def encoder(implementation="sdpa"):
    return build("BertModel", "BertConfig", implementation, **TEXT)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_explains_a_label(name, implementation):
    model = bert(implementation=implementation)
    question = why_label(model, text(), 1)
    assert question.route.rows == (0,)
    assert question.targets == ("LABEL_1",)
    found = find_method(name)(model, question)
    assert found.weights.shape == (1, 5)
    assert abs(found.weights).max() > 1e-6
    assert found.error < 1e-4


def test_the_last_token_is_where_a_decoder_reads():
    model = llama("LlamaForSequenceClassification", num_labels=2)
    question = why_label(model, numbered(NUMBERS[1:], NAMES[1:], begin=1), 0)
    assert question.route.rows == (5,)
    assert find_method("gradient-attention")(model, question).weights.shape == (1, 6)


@pytest.mark.parametrize("blank", [None, 3])
def test_scores_are_those_of_each_copy_alone(blank):
    model = bert()
    question = why_label(model, text(blank=blank), 2)
    kept = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]]).bool()
    scores = question.scores(model, question.inputs(kept))
    for copy, score in zip(kept, scores, strict=True):
        inner = [
            number if stays else blank
            for number, stays in zip(NUMBERS[1:-1], copy, strict=True)
            if stays or blank is not None
        ]
        logits = model(torch.tensor([[1, *inner, 2]])).logits
        torch.testing.assert_close(score, log_odds(logits, torch.tensor([2])), rtol=1e-4, atol=1e-4)


def test_rollout_is_the_product_of_what_eager_attention_returns():
    model, eager = bert(), bert(implementation="eager")
    weights = find_method("rollout")(model, why_label(model, text(), 0)).weights[0]
    maps = eager(torch.tensor([NUMBERS]), output_attentions=True).attentions
    product = torch.eye(7)
    for each in maps:
        product = (0.5 * each[0].mean(0) + 0.5 * torch.eye(7)) @ product
    np.testing.assert_allclose(weights, product[0, 1:-1].detach().numpy(), atol=1e-5)


def test_a_vector_is_explained_along_itself_and_along_another():
    model = encoder()
    question = why_similar(model, text())
    assert question.route.rows is None
    whole = question.scores(model, question.inputs(torch.ones(1, 5).bool()))
    alone = mean_state(model, Copies(torch.tensor([NUMBERS]), torch.ones(1, 7).bool()))
    torch.testing.assert_close(whole[0, 0], alone.norm())
    for name in METHODS:
        assert abs(find_method(name)(model, question).weights).max() > 1e-6
    other = torch.randn(32)
    along = why_similar(model, text(), other)
    score = along.scores(model, along.inputs(torch.ones(1, 5).bool()))
    torch.testing.assert_close(score[0, 0], alone[0] @ other / other.norm())


class Plain(nn.Module):
    """A classifier of torch's own parts, with positions that are learned."""

    def __init__(self, labels):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.embedding = nn.Embedding(64, 16)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.answer = nn.Linear(16, labels)

    def forward(self, copies):
        x = self.layers(self.embedding(copies.tokens), src_key_padding_mask=~copies.there)
        return self.answer(x[:, 0])


@pytest.mark.parametrize("labels, label", [(3, 2), (1, 0)])
def test_a_model_of_torch(labels, label):
    torch.manual_seed(0)
    model = Plain(labels).eval()
    question = why_label(
        model, text(), label, ask=lambda model, copies: model(copies), embedding="embedding"
    )
    assert question.route.rows == (0,)
    assert question.targets == (str(label),)
    found = {name: find_method(name)(model, question).weights for name in METHODS}
    assert all(abs(weights).max() > 0 for weights in found.values())
    logits = model(question.inputs(torch.ones(1, 5).bool()))
    score = question.scores(model, question.inputs(torch.ones(1, 5).bool()))
    if labels == 1:
        assert torch.equal(score, logits)
    assert explain_question(model, question, draws=50).word != "not tested"


def test_a_model_without_attention_has_no_route():
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.EmbeddingBag(64, 3)

        def forward(self, copies):
            return self.embedding(copies.tokens)

    question = why_label(Bag(), text(), 0, ask=lambda model, copies: model(copies))
    assert question.route is None
    assert question.embedding == ""


def test_a_decoder_that_reads_the_text_again_is_not_followed():
    model = build("BartForSequenceClassification", "BartConfig", **PAIR)
    question = why_label(model, text(), 0)
    assert question.route is None
    assert abs(find_method("integrated-gradients")(model, question).weights).max() > 1e-6
    assert abs(find_method("occlusion")(model, question).weights).max() > 1e-6


def test_layers_that_share_a_site_are_a_step_each():
    model = build("AlbertForSequenceClassification", "AlbertConfig", **TEXT, embedding_size=16)
    question = why_label(model, text(), 0)
    (site,) = {step.site for step in question.route.steps}
    assert [step.call for step in question.route.steps] == [0, 1]
    assert question.route.rows == (0,)
    with torch.no_grad(), probe(model, sites=site) as heard:
        model(input_ids=torch.tensor([NUMBERS]))
    maps = [heard.maps(site, call=call)[0].mean(0).double().numpy() for call in (0, 1)]
    first, second = (weights / 2 + np.eye(7) / 2 for weights in maps)
    found = find_method("rollout")(model, question).weights[0]
    np.testing.assert_allclose(found, (second @ first)[0, 1:6], atol=1e-6)
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize(
    "shared, order",
    [
        ({"num_hidden_groups": 2, "num_hidden_layers": 4}, [0, 0, 1, 1]),
        ({"num_hidden_groups": 1, "num_hidden_layers": 2, "inner_group_num": 2}, [0, 1, 0, 1]),
    ],
)
def test_sites_that_layers_share_in_turns_are_steps_in_the_order_of_their_calls(shared, order):
    model = build(
        "AlbertForSequenceClassification", "AlbertConfig", **TEXT | shared, embedding_size=16
    )
    question = why_label(model, text(), 0)
    steps = question.route.steps
    names = list(dict.fromkeys(step.site for step in steps))
    assert [names.index(step.site) for step in steps] == order
    assert question.route.rows == (0,)
    with torch.no_grad(), probe(model) as heard:
        model(input_ids=torch.tensor([NUMBERS]))
    product = np.eye(7)
    for step in steps:
        weights = heard.maps(step.site, call=step.call)[0].mean(0).double().numpy()
        product = (weights / 2 + np.eye(7) / 2) @ product
    found = find_method("rollout")(model, question).weights[0]
    np.testing.assert_allclose(found, product[0, 1:6], atol=1e-6)
    assert model.training is False
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_rejects_a_route_that_takes_the_calls_of_layers_for_rows_of_one():
    model = build("AlbertForSequenceClassification", "AlbertConfig", **TEXT, embedding_size=16)
    question = why_label(model, text(), 0)
    steps = (replace(question.route.steps[0], call=None),)
    question = replace(question, route=replace(question.route, steps=steps))
    with pytest.raises(UnsupportedError, match=r"must look once from .* got 14 rows and 7 keys"):
        find_method("rollout")(model, question)


def test_rejects_labels_directions_and_models():
    with pytest.raises(ConfigError, match="label must be in 0 to 2, got 3"):
        why_label(bert(), text(), 3)
    with pytest.raises(ConfigError, match="label must be in 0 to 2, got -1"):
        why_label(bert(), text(), -1)
    for direction in (torch.zeros(32), torch.ones(31)):
        with pytest.raises(ConfigError, match="direction must be 32 numbers that are not all 0"):
            why_similar(encoder(), text(), direction)
    model = bert()
    model.config.pad_token_id = None
    with pytest.raises(UnsupportedError, match="pad_token_id must be set for copies of a text"):
        why_label(model, text(), 0)
