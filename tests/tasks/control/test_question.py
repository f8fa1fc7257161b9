"""Why an action was chosen: moments that are remembered, and others that are not."""

import pytest
import torch

from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.scores import log_odds
from heedful.tasks.control.episodes import Environment
from heedful.tasks.control.task import Config, Control
from heedful.training.start import build

MODEL = {"width": 8, "heads": 2, "memory": 4}


def asked(limit=None, **model):
    config = Config(data={"limit": limit}, model={**MODEL, **model})
    task = Control(
        config,
        Environment.explore("CartPole-v1", hide=config.data.hide, limit=limit, seeds=[1, 2]),
    )
    torch.manual_seed(3)
    network = build(task).eval()
    example = task.parse("7")
    answer = task.answer(network, task.encode([example]))[0]
    return task, network, answer, task.question(network, example, answer)


@pytest.mark.parametrize("limit, pieces", [(None, 4), (3, 3)])
def test_the_last_action_has_the_odds_that_it_was_chosen_by(limit, pieces):
    _, network, answer, question = asked(limit)
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    history = question.inputs(kept)
    logits, _ = network(history, torch.tensor([pieces]))
    assert question.pieces == ("now", "-1", "-2", "-3")[:pieces]
    assert question.targets == (f"action {logits.argmax()}",) == (f"action {answer.actions[-1]}",)
    expected = log_odds(logits, logits.argmax(-1))[:, None]
    torch.testing.assert_close(question.scores(network, history), expected)


def test_a_moment_that_is_removed_was_like_all():
    _, _, _, question = asked()
    whole, without = question.inputs(torch.tensor([[True] * 4, [True, True, False, True]]))
    assert not without[2].any()
    assert torch.equal(whole[[0, 1, 3]], without[[0, 1, 3]])
    assert whole.any(1).all()


@pytest.mark.parametrize("limit, pieces", [(None, 4), (3, 3)])
def test_attention_and_slopes_lead_to_moments(limit, pieces):
    _, network, _, question = asked(limit)
    assert question.method == "occlusion"  # by which more holds
    found = gradient_attention(network, question)
    assert found.weights.shape == (1, pieces)
    assert found.weights.min() >= 0 < found.weights.max()
    assert found.error < 1e-5
    assert integrated_gradients(network, question, steps=4).weights.any(0).all()


def test_a_mean_of_moments_has_no_route():
    assert asked(attention=False)[3].route is None
