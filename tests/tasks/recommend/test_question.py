"""Why an item is recommended: histories with items left out."""

import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.paths import decision_paths
from heedful.explaining.scores import log_odds
from heedful.tasks.catalog import parse_config
from heedful.tasks.recommend.histories import History
from heedful.tasks.recommend.ranking import Answer
from heedful.tasks.recommend.task import Recommend
from heedful.training.start import build

ITEMS = tuple(f"film {letter}" for letter in "abcdefgh")
HISTORY = History(ITEMS[:4])
ANSWER = Answer((ITEMS[6], ITEMS[4]), (0.5, 0.25))
SASREC = {"layers": 2, "feedforward": 16, "max_length": 4}
DIN = {"name": "din", "hidden": 16, "max_length": 4}


def asked(model, history=HISTORY):
    settings = {"task": "recommend", "model": {"width": 16, "heads": 2, "dropout": 0.0, **model}}
    task = Recommend.fit(parse_config(settings), [History(ITEMS[:7], ITEMS[7:])])
    torch.manual_seed(2)
    network = build(task).eval()
    return task, network, task.question(network, history, ANSWER)


def scored(network, question, *copies):
    kept = torch.tensor(copies or [[True] * len(question.pieces)])
    return question.scores(network, question.inputs(kept))


def expected(task, network, history):
    batch = task.encode([history]).batch([0], "cpu")
    logits = network(batch.items, batch.lengths)
    if task.config.model.name == "din":
        return logits[:, [6, 4]]
    return torch.stack([log_odds(logits, torch.tensor([item])) for item in (6, 4)], 1)


@pytest.mark.parametrize("model", [SASREC, DIN])
def test_items_that_are_left_out_were_never_there(model):
    task, network, question = asked(model)
    copies = [[True] * 4, [True, False, True, False], [False] * 4]
    found = scored(network, question, *copies)
    few = (HISTORY, History((ITEMS[0], ITEMS[2])), History(("never met",)))
    torch.testing.assert_close(found, torch.cat([expected(task, network, each) for each in few]))
    assert question.pieces == ITEMS[:4]
    assert question.targets == ANSWER.items


@pytest.mark.parametrize("model", [SASREC, DIN])
def test_attention_and_slopes_lead_to_the_history(model):
    _, network, question = asked(model)
    found = gradient_attention(network, question)
    assert found.weights.shape == (2, 4)
    assert found.weights.min() >= 0 < found.weights.max()
    assert found.error < 1e-5
    assert integrated_gradients(network, question, steps=4).weights.shape == (2, 4)
    assert asked({**model, "attention": False})[2].route is None


def test_paths_are_cut_though_all_items_are_scored_in_parts(monkeypatch):
    monkeypatch.setattr("heedful.models.din.CANDIDATES", 3 * 16 * 18)
    _, network, question = asked(DIN)
    found = decision_paths(network, question, paths=1)
    assert [(path.target, path.heads[0][0]) for path in found] == [
        (0, "attention"),
        (1, "attention"),
    ]


def test_only_items_that_are_read_are_pieces():
    task, network, question = asked(SASREC, History(ITEMS[:6]))
    assert question.pieces == ITEMS[2:6]
    torch.testing.assert_close(
        scored(network, question), expected(task, network, History(ITEMS[:6]))
    )


def test_nothing_recommended_is_refused():
    task, network, _ = asked(SASREC)
    with pytest.raises(UnsupportedError, match="must hold an item to be explained, got none"):
        task.question(network, HISTORY, Answer((), ()))
