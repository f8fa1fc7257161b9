"""Why a translation is what it is: each token is scored where it was written."""

import pytest
import torch

from heedful.data.examples import Example
from heedful.data.tokens import UNKNOWN
from heedful.errors import UnsupportedError
from heedful.explaining.gradient_attention import gradient_attention
from heedful.tasks.translation.config import Config, RnnModel, Tokens, TransformerModel
from heedful.tasks.translation.pairs import train_vocabularies
from heedful.tasks.translation.question import why_written
from heedful.tasks.translation.task import Translation

EXAMPLES = [Example("one two", "一二"), Example("four five six seven", "四五六七")]


def asked(model=None, text="four five six", written="四五", unknown=False):
    torch.manual_seed(2)
    vocabularies = train_vocabularies(Tokens(), EXAMPLES)
    settings = TransformerModel(width=16, heads=2) if model is None else model
    network = Translation(Config(model=settings), vocabularies).build().eval()
    tokens = vocabularies.target.encode([written])[0][1:-1]
    tokens[1:1] = [UNKNOWN] * unknown
    question = why_written(network, vocabularies, text, tokens)
    return network, question, vocabularies


def test_each_token_has_the_log_odds_of_the_step_that_wrote_it():
    network, question, vocabularies = asked()
    source = torch.tensor(vocabularies.source.encode(["four five six"]))
    target = torch.tensor(vocabularies.target.encode(["四五"]))
    shares = network(source, torch.tensor([5]), target[:, :-1]).softmax(-1)[0].double()
    chosen = shares[[0, 1], target[0, 1:3]]
    found = question.scores(network, question.inputs(torch.ones(1, 3, dtype=torch.bool)))
    assert question.targets == ("四", "五")
    torch.testing.assert_close(found[0].double(), (chosen / (1 - chosen)).log(), atol=1e-4, rtol=0)


def test_an_unknown_token_that_was_written_is_one():
    network, question, vocabularies = asked(unknown=True)
    begin, four, five, _ = vocabularies.target.encode(["四五"])[0]
    source = torch.tensor(vocabularies.source.encode(["four five six"]))
    shares = network(source, torch.tensor([5]), torch.tensor([[begin, four, UNKNOWN, five]]))
    chosen = shares.softmax(-1)[0].double()[[0, 1, 2], [four, UNKNOWN, five]]
    found = question.scores(network, question.inputs(torch.ones(1, 3, dtype=torch.bool)))
    assert question.targets == ("四", "<unk>", "五")
    torch.testing.assert_close(found[0].double(), (chosen / (1 - chosen)).log(), atol=1e-4, rtol=0)


def test_tokens_are_those_that_were_written_however_their_text_would_be_cut():
    examples = [Example("one", "abab abab")] * 9
    vocabularies = train_vocabularies(Tokens(target="bpe"), examples)
    network = Translation(Config(model=TransformerModel(width=16, heads=2)), vocabularies).build()
    letters = [vocabularies.target.encode([letter])[0][1] for letter in "abab"]
    assert len(vocabularies.target.encode(["abab"])[0]) == 3  # one token between the markers
    question = why_written(network.eval(), vocabularies, "one", letters)
    assert question.targets == ("a", "b", "a", "b")
    found = question.scores(network, question.inputs(torch.ones(1, 1, dtype=torch.bool)))
    assert found.shape == (1, 4)


def test_a_word_that_is_left_out_was_never_there():
    network, question, _ = asked()
    _, shorter, _ = asked(text="four six")
    left_out = question.inputs(torch.tensor([[True, False, True]]))
    whole = shorter.inputs(torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(question.scores(network, left_out), shorter.scores(network, whole))


@pytest.mark.parametrize("model", [None, RnnModel(width=16), RnnModel(width=16, attention="dot")])
def test_every_network_can_be_asked(model):
    network, question, _ = asked(model)
    found = gradient_attention(network, question)
    assert found.weights.shape == (2, 3)
    assert found.weights.min() >= 0 < found.weights.max()


def test_without_attention_there_is_no_route():
    network, question, _ = asked(RnnModel(width=16, attention="none"))
    with pytest.raises(UnsupportedError, match="must have attention that leads to its input"):
        gradient_attention(network, question)


def test_an_empty_answer_is_refused():
    with pytest.raises(UnsupportedError, match="must hold a token"):
        asked(written="")
