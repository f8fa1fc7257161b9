"""Why a series goes on so: straight lines in its history, and how much is left of the answer."""

import numpy as np
import pytest
import torch

from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.occlusion import occlusion
from heedful.explaining.rollout import rollout
from heedful.tasks.catalog import parse_config
from heedful.tasks.forecast.task import ForecastTask
from heedful.training.start import build

PATCHES = {"width": 8, "heads": 2, "layers": 2, "feedforward": 8, "patch": 8, "stride": 4}


def asked(columns=2, *, history=30, model=PATCHES):
    tables = {"task": "forecast", "data": {"rows": 400, "series": columns}, "model": model}
    config = parse_config({**tables, "window": {"history": history, "horizon": 4}})
    splits = ForecastTask.read(config)
    task = ForecastTask.fit(config, splits.train)
    torch.manual_seed(7)
    network = build(task).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    example = splits.test[0]
    data = task.encode([example])
    answer = task.answer(network, data)[0]
    return network, task.question(network, example, answer), data.batch([0], "cpu")["history"]


def scored(network, question, *copies):
    kept = torch.tensor(copies or [[True] * len(question.pieces)])
    return question.scores(network, question.inputs(kept))


def test_the_whole_history_gives_the_whole_answer():
    network, question, history = asked()
    assert question.pieces == ("-30", "-22", "-14", "-6")
    assert question.targets == ("s1", "s2")
    assert torch.equal(question.inputs(torch.ones(1, 4, dtype=torch.bool)), history)
    torch.testing.assert_close(scored(network, question), torch.ones(1, 2))


def test_another_history_gives_a_share_of_it():
    network, question, history = asked()
    level = history[0].mean(0)
    whole, other = (
        network(question.inputs(torch.tensor([kept])))[0].double() - level
        for kept in ([True] * 4, [True, False, True, True])
    )
    found = scored(network, question, [True, False, True, True])[0].double()
    expected = [whole[:, n] @ other[:, n] / (whole[:, n] @ whole[:, n]) for n in range(2)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_what_is_removed_is_a_straight_line():
    _, question, history = asked()
    copies = torch.tensor([[True, False, True, False], [False] * 4, [False, True, True, True]])
    inner, none, first = question.inputs(copies)
    assert torch.equal(inner[:8], history[0, :8])
    line = np.linspace(*history[0, [7, 16]].numpy(), 10)[1:-1]
    np.testing.assert_allclose(inner[8:16], line, atol=1e-6)
    assert torch.equal(inner[24:], history[0, 23].expand(6, -1))  # nothing is behind it
    torch.testing.assert_close(none, history[0].mean(0).expand(30, -1))
    assert torch.equal(first[:8], history[0, 8].expand(8, -1))


def test_attention_leads_to_the_patches_of_a_column():
    network, question, _ = asked()
    assert question.method == "occlusion"  # by which more holds
    assert question.route.places["source"] == (0, 1, 1, 2, 2, 3, 3) * 2
    for method, targets in ((gradient_attention, 2), (rollout, 2)):
        found = method(network, question)
        assert found.weights.shape == (targets, 4)
        assert found.weights.min() >= 0 < found.weights.max()
        assert found.error < 1e-5
    assert not np.allclose(*gradient_attention(network, question).weights)


def test_slopes_lead_to_the_patches_of_one_column():
    network, question, _ = asked(columns=1)
    assert integrated_gradients(network, question, steps=4).weights.any(0).all()
    assert asked()[1].embedding == ""


@pytest.mark.parametrize("model", [{"name": "linear"}, {**PATCHES, "attention": "none"}])
def test_without_attention_there_is_no_route(model):
    network, question, _ = asked(history=40, model=model)
    assert question.route is None
    assert len(question.pieces) == (14 if model == {"name": "linear"} else 5)
    assert occlusion(network, question).weights.any(1).all()
