"""Looks: maps in blocks, of the model that was asked, or a reason why there are none."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from heedful.errors import UnsupportedError
from heedful.explaining import looks as module
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.looks import differentiable, look
from heedful.explaining.question import Question, Route, Step
from heedful.explaining.rollout import rollout
from heedful.explaining.routes import encoder_decoder
from heedful.explaining.scores import written_odds
from heedful.models import RnnSeq2Seq
from heedful.nn.aligners import ALIGNERS
from heedful.probing.fidelity import Fidelity

sys.path.insert(0, str(Path(__file__).parent))
from routed import by_matrices, routed, stored_maps


@pytest.mark.parametrize("size", [1, 3, 128])
def test_blocks_are_the_maps_and_their_gradients(size, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", size)
    asked = routed("two sources")
    found, scores = look(asked.model, asked.question, [2, 1])
    assert scores.shape == (2, 3)
    assert found.error < 1e-12
    assert (found.size("decoder.cross.0.1"), found.heads("decoder.cross.0.1")) == ((5, 4), 2)
    for number, target in enumerate((2, 1)):
        for site, (weights, gradients) in stored_maps(asked, target).items():
            for part in found.of(site):
                assert part.weights.shape[2] <= size
                torch.testing.assert_close(part.weights[number], weights[:, part.rows])
                torch.testing.assert_close(part.gradients[number], gradients[:, part.rows])


@pytest.mark.parametrize("method", [rollout, gradient_attention])
def test_how_many_rows_are_taken_at_a_time_changes_nothing(method, monkeypatch):
    asked = routed("one source")
    whole = method(asked.model, asked.question).weights
    monkeypatch.setattr(module, "BLOCK", 2)
    np.testing.assert_allclose(method(asked.model, asked.question).weights, whole, atol=1e-6)


def recurrent(name):
    torch.manual_seed(0)
    model = RnnSeq2Seq(source_size=11, target_size=13, width=6, hidden=4, attention=name).eval()
    source = torch.tensor([1, 5, 6, 7, 2])
    tokens = [1, 8, 9, 2]

    def inputs(kept):
        inner = torch.where(kept, source[1:-1], 3)
        ends = (source[:1].expand(len(kept), -1), source[-1:].expand(len(kept), -1))
        return torch.cat([ends[0], inner, ends[1]], 1)

    def scores(model, source):
        return written_odds(
            lambda before: model(source, torch.full((len(source),), 5), before), tokens, source
        )

    return model, Question(
        pieces=("a", "b", "c"),
        targets=("x", "y", "end"),
        inputs=inputs,
        scores=scores,
        removal="another",
        route=encoder_decoder(model, (-1, 0, 1, 2, -1), rows=range(3)),
    )


@pytest.mark.parametrize("name", [name for name in ALIGNERS if name != "none"])
def test_decoders_that_go_step_by_step(name):
    model, question = recurrent(name)
    found, _ = look(model, question, [0, 2])
    site = question.route.steps[0].site
    parts = [*found.of(site)]
    assert [part.rows.start for part in parts] == sorted({part.rows.start for part in parts})
    assert parts[-1].rows.stop == found.size(site)[0] == 3
    weights = rollout(model, question).weights
    expected = torch.cat([part.weights[0].mean(0) for part in parts]).detach().numpy()[:, 1:4]
    np.testing.assert_allclose(weights, expected / 2, atol=1e-6)
    slopes = gradient_attention(model, question).weights
    assert slopes.shape == (3, 3)
    assert (slopes >= 0).all()


def test_one_batch_row_a_group_where_a_step_has_several():
    """Frames that are looked at one by one, each in a row of the batch."""
    torch.manual_seed(0)

    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = routed("row").model.encoder.own[0]
            self.outer = routed("row").model.encoder.own[1]
            self.answer = nn.Linear(12, 2).double()

        def forward(self, x):
            frames = x.unflatten(1, (2, 3)).flatten(0, 1)
            frames = frames + self.inner(frames)
            x = frames.unflatten(0, (-1, 2)).flatten(1, 2)
            return self.answer((x + self.outer(x))[:, 0])

    model, x = Frames().eval(), torch.randn(1, 6, 12).double()
    places = ((0, 1, 2), (3, 4, 5))
    inner = Step(site="inner", query_places=places, key_places=places)
    question = Question(
        pieces=tuple("abcdef"),
        targets=("x", "y"),
        inputs=lambda kept: torch.where(kept[..., None], x, 0.0),
        scores=lambda model, given: model(given),
        removal="zeros",
        route=Route(
            steps=(inner, Step(site="outer")),
            places={"source": tuple(range(6))},
            answer="source",
            rows=(0, 0),
        ),
    )

    # the same as one map in which the frames do not see each other
    frames = x.view(2, 3, 12)
    weights = model.inner.weights(frames).detach()
    whole = torch.zeros(3, 6, 6).double()
    whole[:, :3, :3], whole[:, 3:, 3:] = weights
    outer = model.outer.weights((frames + model.inner(frames)).view(1, 6, 12))[0].detach()
    first = 0.5 * whole.mean(0) + 0.5 * torch.eye(6)
    expected = (0.5 * outer.mean(0) + 0.5 * torch.eye(6))[0] @ first
    found = rollout(model, question).weights
    np.testing.assert_allclose(found, expected.expand(2, -1).numpy(), atol=1e-6)


def test_rejects_a_model_without_a_route():
    asked = routed("row")
    with pytest.raises(UnsupportedError, match=r"must have attention that leads .* got none; occl"):
        look(asked.model, replace(asked.question, route=None))


def test_rejects_a_site_that_cannot_be_observed():
    asked = routed("pooling")
    asked.model.pooling.forward = lambda x: x[:, :1]
    with pytest.raises(UnsupportedError, match="pooling must be observable, got: it was not call"):
        look(asked.model, asked.question)


def test_rejects_a_map_that_is_not_the_one_used(monkeypatch):
    asked = routed("pooling")
    monkeypatch.setattr(module, "fidelity", lambda _: Fidelity(0.2, None, ""))
    with pytest.raises(UnsupportedError, match=r"the map of encoder.own.0 must be .* error of 0.2"):
        look(asked.model, asked.question)


def test_an_error_that_nobody_can_tell_is_none(monkeypatch):
    asked = routed("pooling")
    monkeypatch.setattr(module, "fidelity", lambda _: Fidelity(None, "no idea", ""))
    found, _ = look(asked.model, asked.question)
    assert found.error is None
    assert gradient_attention(asked.model, asked.question).error is None


def test_rejects_parameters_of_inference_mode():
    with torch.inference_mode():
        model = nn.Linear(2, 2)
    message = "must be made or loaded outside of inference mode .* got inference tensors"
    with pytest.raises(UnsupportedError, match=message), differentiable(model):
        pass
    with differentiable(model, on=False) as parameters:
        assert parameters == []
        assert not torch.is_grad_enabled()


def test_whole_matrices_see_a_step_that_is_left_out():
    asked = routed("row")
    less = replace(asked.question.route, steps=asked.question.route.steps[1:])
    found = rollout(asked.model, replace(asked.question, route=less)).weights
    mean = partial(by_matrices, asked, weigh=lambda weights, _: weights.mean(0))
    assert abs(found[0] - mean(0, kept=0.5, found=0.5)).max() > 1e-3


def test_a_call_that_was_not_made_is_refused():
    asked = routed("row")
    looks, _ = look(asked.model, asked.question)
    with pytest.raises(UnsupportedError, match=r"must be called for each step, got no call 1"):
        list(looks.of("encoder.own.0", 1))
    assert len(list(looks.of("encoder.own.0", 0))) == 1
