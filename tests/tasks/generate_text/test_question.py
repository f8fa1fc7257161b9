"""Why a text goes on as it does: words behind a prompt with words left out."""

import pytest
import torch

from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.tasks.catalog import parse_config
from heedful.tasks.generate_text.passages import Passage
from heedful.tasks.generate_text.task import Continuation, GenerateText
from heedful.training.start import build

TEXT = "the cat sat on a mat\n"
TRANSFORMER = {"heads": 2, "feedforward": 16, "context": 64}


def asked(prompt, written="mat on", model=TRANSFORMER):
    data = {"passage": 8, "before": 8}
    settings = {"task": "generate-text", "data": data, "model": {"width": 8, "layers": 2, **model}}
    task = GenerateText.fit(parse_config(settings), [Passage(TEXT)])
    torch.manual_seed(1)
    network = build(task).eval()
    tokens = tuple(task.vocabulary.encode([written])[0][1:-1])
    return task, network, task.question(network, prompt, Continuation(written, tokens))


def whole(network, question):
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    return question.scores(network, question.inputs(kept))


@pytest.mark.parametrize("model", [TRANSFORMER, {"name": "lstm"}])
def test_the_whole_prompt_has_the_scores_of_the_plain_text(model):
    task, network, question = asked(Passage("at on a ", "the cat s"), model=model)
    tokens = torch.tensor(task.vocabulary.encode(["the cat sat on a mat on"]))[:, 1:-1]
    chosen = network(tokens[:, :-1]).softmax(-1)[0].double()[range(16, 22), tokens[0, 17:]]
    words = torch.stack([chosen[:3].prod(), chosen[3:].prod()])
    expected = (words / (1 - words)).log()
    assert question.pieces == tuple("the| cat| sat| on| a| ".split("|"))
    assert question.targets == ("mat", " on")
    torch.testing.assert_close(whole(network, question)[0].double(), expected, atol=1e-4, rtol=0)


def test_a_word_that_is_left_out_was_never_there():
    _, network, question = asked(Passage("the cat sat"))
    _, _, shorter = asked(Passage("the sat"))
    _, _, blank = asked(Passage("\n"))
    kept = torch.tensor([[True, False, True], [False] * 3])  # of different lengths together
    found = question.scores(network, question.inputs(kept))
    torch.testing.assert_close(found[:1], whole(network, shorter))
    torch.testing.assert_close(found[1:], whole(network, blank))


def test_no_more_is_asked_about_than_is_seen_at_once():
    _, network, question = asked(Passage("the cat " * 4), model={**TRANSFORMER, "context": 17})
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    assert "".join(question.pieces) == "cat the cat "
    assert question.targets == ("mat", " on")
    assert question.inputs(kept).tokens.shape == (1, 17)
    assert whole(network, question).isfinite().all()


def test_a_continuation_longer_than_is_seen_is_cut():
    model = {**TRANSFORMER, "context": 16}
    _, network, question = asked(Passage("the cat sat on"), "a mat " * 9, model=model)
    assert "".join(question.pieces) == "t sat on"
    assert question.targets == ("a", " mat", " a", " m")  # nine tokens
    assert gradient_attention(network, question).weights.shape[0] == 4


def test_the_first_words_are_asked_for():
    question = asked(Passage("the cat sat"), "a mat on " * 9)[2]
    assert "".join(question.targets) == "a mat on a mat on a mat"
    kept = torch.ones(1, 3, dtype=torch.bool)
    assert question.inputs(kept).tokens.shape == (1, 11 + 23 - 1)


def test_attention_is_read_where_a_word_begins():
    route = asked(Passage("the cat sat"), "a mat on")[2].route
    assert route.rows == (10, 11, 15)  # the last letter of what is before it


def test_attention_and_slopes_lead_to_the_prompt():
    _, network, question = asked(Passage("the cat sat on "))
    found = gradient_attention(network, question)
    assert found.weights.shape == (2, 5)
    assert found.weights.min() >= 0 < found.weights.max()
    assert found.error < 1e-5
    assert integrated_gradients(network, question, steps=4).weights.shape == (2, 5)


def test_an_lstm_has_no_route():
    assert asked(Passage("the cat"), model={"name": "lstm"})[2].route is None
