"""Why places of an image became so: what stands where one was taken away, and the score."""

import numpy as np
import pytest
import torch

from heedful.explaining.explain import explain_question
from heedful.explaining.gradient_attention import gradient_attention

pytest.importorskip("sklearn", reason="the extra images is not installed")


@pytest.fixture
def asked(ask):
    train = {"steps": 1, "classifier_steps": 20}
    sizes = {"width": 4, "latent": 5, "reduction": 2}
    return lambda **model: ask(
        "generate-image",
        data={"dev": 12, "test": 10},
        model={**sizes, **model},
        train=train,
    )


def made_of(task, model, example):
    """The noise and the class of an example."""
    _, labels, seeds = task.encode([example]).batch([0], "cpu")
    generator = torch.Generator().manual_seed(seeds.item())
    return torch.randn(model.average.latent, generator=generator)[None], labels


def test_the_score_is_how_surely_a_place_is_light_or_dark(asked):
    task, model, example, question = asked()
    image = model(*made_of(task, model, example))[0, 0].detach().double()
    (answer,) = task.answer(model, task.encode([example]))
    assert question.title == str(answer)
    assert np.array_equal(question.canvas, answer.pixels)
    scores = question.scores(model, torch.ones(1, 64, dtype=torch.bool))[0]
    for target, score in zip(question.targets, scores.tolist(), strict=True):
        row, column = (int(number) - 1 for number in target.split(","))
        value = image[row, column]
        odds = torch.log((1 + value) / (1 - value))
        light = answer.pixels[row, column, 0] >= 127.5
        assert score == pytest.approx((odds if light else -odds).item(), rel=1e-4)


def test_the_place_of_each_quarter_is_the_most_striking_one(asked):
    question = asked().question
    away = np.abs(question.canvas[..., 0] - question.canvas.mean())
    numbers = [question.pieces.index(name) for name in question.targets]
    quarters = [away[:4, :4], away[:4, 4:], away[4:, :4], away[4:, 4:]]
    assert [away.flat[number] for number in numbers] == [part.max() for part in quarters]


@pytest.mark.parametrize("attention", [True, False])
def test_what_is_taken_away_is_the_mean_of_all_places(asked, attention):
    task, model, example, question = asked(attention=attention)
    kept = torch.rand(3, 64, generator=torch.Generator().manual_seed(0)) < 0.5
    heard = []
    inner = model.average.attention if attention else model.average.last
    handle = inner.register_forward_hook(lambda _, given, __: heard.append(given[0]))
    model(*made_of(task, model, example))
    question.scores(model, question.inputs(kept))
    handle.remove()
    whole, cut = heard
    expected = torch.where(kept.view(3, 1, 8, 8), whole, whole.mean((2, 3), keepdim=True))
    torch.testing.assert_close(cut, expected)
    model(*made_of(task, model, example))  # whole again
    assert (question.route is not None) is attention


def test_maps_of_attention_lead_to_the_places(asked):
    _, model, _, question = asked()
    torch.nn.init.constant_(model.average.attention.gamma, 0.5)
    found = gradient_attention(model, question).weights
    numbers = [question.pieces.index(name) for name in question.targets]
    assert found.argmax(1).tolist() == numbers  # a place is first what it was
    assert (np.sort(found, 1)[:, -2] > 0).all()  # and what it looked at
    assert explain_question(model, question, test=False).method == "occlusion"
