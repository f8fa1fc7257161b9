"""Why a summary is what it is: words that were copied have a score of their own."""

import pytest
import torch

from heedful.data.examples import Example
from heedful.data.tokens import BOS, UNKNOWN
from heedful.errors import UnsupportedError
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.occlusion import occlusion
from heedful.tasks.catalog import parse_config
from heedful.tasks.summarise.task import Summarise, Summary
from heedful.training.start import build

TEXT = Example("The zebra said one or two words", "")
POINTER = {"heads": 2, "copying": True}
RNN = {"name": "rnn", "hidden": 8}


def asked(model=POINTER, summary="two zebra words"):
    settings = {"task": "summarise", "model": {"width": 16, **model}}
    known = [Example("one or two words the said", "one or two words")] * 2
    task = Summarise.fit(parse_config(settings), known)
    torch.manual_seed(0)
    network = build(task).eval()
    return task, network, task.question(network, TEXT, said(task, TEXT.source, summary))


def said(task, text, summary):
    """A summary with the tokens of its words; `<unk>` is one of them."""
    tokens = task.encode([Example(text, summary.replace("<unk>", "zzz"))]).target.flat[1:-1]
    return Summary(summary, (), tuple(tokens.tolist()) if summary else ())


@pytest.mark.parametrize("model", [POINTER, {"copying": False}, RNN])
def test_the_whole_text_has_the_scores_of_the_plain_batch(model):
    task, network, question = asked(model)
    data = task.encode([Example(TEXT.source, "two zebra words")])
    source, lengths, target = data.batch([0], "cpu")
    shares = network(source, lengths, target[:, :4]).softmax(-1)[0].double()
    chosen = shares[range(3), target[0, 1:4]]
    found = question.scores(network, question.inputs(torch.ones(1, 7, dtype=torch.bool)))
    assert question.targets == (" two", " zebra" if task.copying else "<unk>", " words")
    torch.testing.assert_close(found[0].double(), (chosen / (1 - chosen)).log(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("summary", ["two <unk> words", "<unk> two", "<unk>"])
def test_an_unknown_token_that_was_written_is_one(summary):
    task, network, question = asked({"copying": False}, summary=summary)
    words = summary.split()
    assert [target.strip() for target in question.targets] == words
    source, lengths, _ = task.encode([Example(TEXT.source, "")]).batch([0], "cpu")
    tokens = said(task, TEXT.source, summary).written
    assert tokens.count(UNKNOWN) == 1
    shares = network(source, lengths, torch.tensor([[BOS, *tokens[:-1]]])).softmax(-1)[0].double()
    chosen = shares[range(len(words)), tokens]
    found = question.scores(network, question.inputs(torch.ones(1, 7, dtype=torch.bool)))
    torch.testing.assert_close(found[0].double(), (chosen / (1 - chosen)).log(), atol=1e-4, rtol=0)
    picture = task.picture(network, TEXT, said(task, TEXT.source, summary))
    assert picture.target == question.targets


def test_a_word_that_is_left_out_was_never_there():
    task, network, question = asked()
    kept = torch.tensor([[True, True, True, False, True, True, True]])
    text = "the zebra said or two words"
    shorter = task.question(network, Example(text, ""), said(task, text, "two zebra words"))
    whole = shorter.inputs(torch.ones(1, 6, dtype=torch.bool))
    expected = shorter.scores(network, whole)
    torch.testing.assert_close(question.scores(network, question.inputs(kept)), expected)


def test_what_can_only_be_copied_needs_its_word():
    _, network, question = asked()
    found = occlusion(network, question).weights
    assert found.shape == (3, 7)
    assert found[1].argmax() == question.pieces.index(" zebra")
    assert found[1].max() > 10  # nothing is left of it


@pytest.mark.parametrize(
    "model", [POINTER, {"copying": False}, RNN, {**RNN, "attention": "coverage"}]
)
def test_every_network_can_be_asked(model):
    _, network, question = asked(model)
    found = gradient_attention(network, question)
    assert found.weights.shape == (3, 7)
    assert found.weights.min() >= 0 < found.weights.max()
    assert found.error is None or found.error < 1e-4
    slopes = integrated_gradients(network, question, steps=4).weights
    assert slopes.shape == (3, 7)


def test_a_pointer_is_the_last_step_of_the_way():
    _, _, question = asked()
    assert question.route.steps[-1].site == "pointer"
    _, _, question = asked({**RNN, "attention": "none"})
    assert question.route is None


def test_an_empty_summary_is_refused():
    with pytest.raises(UnsupportedError, match="must hold a word to be explained, got none"):
        asked(summary="")
