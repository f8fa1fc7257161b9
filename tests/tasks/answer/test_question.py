"""Why a question has its answer: sentences and words that are removed, and where the rest stays."""

import pytest
import torch

from heedful.data.stories import Question
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.occlusion import occlusion
from heedful.explaining.scores import log_odds
from heedful.tasks.answer.task import Answer, Response
from heedful.tasks.catalog import parse_config
from heedful.training.start import build

STORY = ("Mary went to the office.", "John took the milk.", "Mary went to the garden.")
ASKED = Question(STORY, "Where is Mary?", "garden")
EXAMPLES = [ASKED, Question(STORY[:2], "Where is Mary?", "office")]
MEMORY = {"name": "memory", "hops": 2, "sentences": 9}
BIDAF = {"name": "bidaf"}


def asked(model, example=ASKED):
    settings = {"task": "answer", "model": {"width": 16, "heads": 2, **model}}
    task = Answer.fit(parse_config(settings), EXAMPLES)
    torch.manual_seed(4)
    network = build(task).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return task, network, task.question(network, example, Response("garden", 0.5))


def plain(task, network, example=ASKED):
    return task.rows(network, task.encode([example]).batch([0], "cpu")).outputs


def scored(network, question, *copies):
    kept = torch.tensor(copies or [[True] * len(question.pieces)])
    return question.scores(network, question.inputs(kept))


def test_a_story_is_scored_sentence_by_sentence():
    task, network, question = asked(MEMORY)
    label = torch.tensor([task.answers["garden"]])
    assert question.pieces == STORY
    torch.testing.assert_close(
        scored(network, question)[:, 0], log_odds(plain(task, network), label)
    )


def test_first_sentences_that_are_left_out_were_never_there():
    task, network, question = asked(MEMORY)
    label = torch.tensor([task.answers["garden"]])
    shorter = Question(STORY[1:], "Where is Mary?", "garden")
    expected = log_odds(plain(task, network, shorter), label)
    copies = [[False, True, True], [False] * 3, [True, False, True]]
    found = scored(network, question, *copies)
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1:2], scored(network, question, [False] * 3))
    batch = question.inputs(torch.tensor(copies))
    assert batch["ago"].tolist() == [1, 0, 2, 0]  # what stays is as long ago as it was


def test_only_sentences_that_are_read_are_pieces():
    _, _, question = asked({**MEMORY, "sentences": 2})
    assert question.pieces == STORY[1:]


def test_ends_of_a_span_have_the_odds_of_their_places():
    task, network, question = asked(BIDAF)
    start, end = plain(task, network)[:, :17].double().softmax(-1)  # the words of the text
    answer = task.answer(network, task.encode([ASKED]))[0]
    first, last = question.route.rows
    chosen = torch.stack([start[first], end[last]])
    expected = (chosen / (1 - chosen)).log()
    torch.testing.assert_close(scored(network, question)[0].double(), expected, atol=1e-4, rtol=0)
    typed = "".join(question.pieces[first : last + 1]).strip()
    assert typed == answer.answer.lower()
    assert question.targets == (
        f"first: {question.pieces[first].strip()}",
        f"last: {question.pieces[last].strip()}",
    )


def test_a_word_that_is_removed_is_unknown():
    _, _, question = asked(BIDAF)
    kept = torch.ones(2, len(question.pieces), dtype=torch.bool)
    kept[1, 2] = False
    batch = question.inputs(kept)
    assert (batch["text"][0] != batch["text"][1]).nonzero()[:, 0].tolist() == [2]
    assert torch.equal(batch["question"][0], batch["question"][1])


@pytest.mark.parametrize("model, targets", [(MEMORY, 1), (BIDAF, 2)])
def test_attention_leads_to_the_text(model, targets):
    _, network, question = asked(model)
    found = gradient_attention(network, question)
    assert found.weights.shape == (targets, len(question.pieces))
    assert found.weights.min() >= 0 < found.weights.max()
    assert found.error < 1e-5
    assert occlusion(network, question).weights.any()


def test_slopes_lead_to_words():
    _, network, question = asked(BIDAF)
    slopes = integrated_gradients(network, question, steps=4).weights
    assert slopes.shape == (2, len(question.pieces))
    assert slopes.any(0).all()


def test_without_attention_there_is_no_route():
    assert asked({**MEMORY, "attention": False})[2].route is None
