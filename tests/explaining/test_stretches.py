"""Long inputs are judged in stretches: the same model, the same map, fewer pieces."""

import numpy as np
import pytest
import torch
from torch import nn

from heedful.explaining.explain import explain_question
from heedful.explaining.question import NOWHERE, Question
from heedful.explaining.removal import PLACES, copies_at_once
from heedful.explaining.routes import encoder
from heedful.explaining.stretches import MOST, STRETCHES, in_stretches, summed
from heedful.nn.pooling import AttentionPooling

PIECES = 5 * STRETCHES + 3


def question(pieces=PIECES, **changes):
    values = {
        "pieces": tuple(f"w{n}" for n in range(pieces)),
        "targets": ("yes", "no"),
        "inputs": lambda kept: kept,
        "scores": lambda _model, kept: kept.double()[:, :2],
        "removal": "nothing",
        "embedded": (NOWHERE, *range(pieces), NOWHERE),
    }
    return Question(**(values | changes))


def test_short_inputs_and_images_stay_as_they_are():
    assert in_stretches(question(MOST)) is None
    assert in_stretches(question(1024, shape=(32, 32))) is None
    assert in_stretches(question(MOST + 1)) is not None


def test_stretches_are_neighbours_of_like_number():
    asked, stretch = in_stretches(question())
    assert len(stretch) == PIECES
    assert set(np.diff(stretch)) == {0, 1}
    sizes = np.bincount(stretch)
    assert (len(sizes), set(sizes)) == (STRETCHES, {5, 6})
    assert asked.pieces[0] == "w0 … w5"
    assert asked.pieces[-1].endswith(f"… w{PIECES - 1}")
    assert asked.shape == (STRETCHES,)


def test_what_is_kept_is_kept_whole():
    asked, stretch = in_stretches(question())
    kept = torch.rand(7, STRETCHES, generator=torch.Generator().manual_seed(0)) < 0.5
    whole = asked.inputs(kept)
    assert whole.shape == (7, PIECES)
    for copy, pieces in zip(kept, whole, strict=True):
        assert [bool(copy[at]) for at in stretch] == pieces.tolist()


def test_places_are_those_of_stretches_and_markers_stay_nowhere():
    asked, stretch = in_stretches(question())
    assert asked.embedded == (NOWHERE, *stretch.tolist(), NOWHERE)


def test_maps_are_summed():
    weights = np.random.default_rng(0).normal(size=(2, PIECES))
    _, stretch = in_stretches(question())
    expected = [[row[stretch == n].sum() for n in range(STRETCHES)] for row in weights]
    assert summed(weights, stretch) == pytest.approx(np.array(expected))


def test_no_more_copies_go_together_than_of_the_whole_input():
    long = question(40 * STRETCHES, targets=("yes",), embedded=())
    asked, _ = in_stretches(long)
    assert copies_at_once(asked) == copies_at_once(long) == PLACES // (40 * STRETCHES)


class Reader(nn.Module):
    """Pools vectors by attention; the answer is the first number of what was pooled."""

    def __init__(self):
        super().__init__()
        self.pooling = AttentionPooling(width=4, heads=1)

    def forward(self, x):
        return self.pooling(x)[:, 0, :1]


def test_a_long_input_has_a_verdict_that_says_how():
    torch.manual_seed(0)
    model, x = Reader(), 0.1 * torch.randn(1, PIECES, 4)
    asked = question(
        targets=("yes",),
        inputs=lambda kept: torch.where(kept[..., None], x, 0.0),
        scores=lambda model, batch: model(batch),
        route=encoder(model, range(PIECES), pooling="pooling"),
        embedded=(),
    )
    found = explain_question(model, asked, draws=100)
    assert found.weights.shape == (1, PIECES)
    assert (found.verdict.stretches, found.verdict.draws) == (STRETCHES, 100)
    assert found.verdict.reason.startswith("in 128 stretches of about 6 pieces each: ")
    assert found.to_json()["verdict"]["stretches"] == STRETCHES
    in_order = np.arange(float(PIECES))
    _, stretch = in_stretches(asked)
    assert summed(in_order[None], stretch).shape == (1, STRETCHES)
    short = explain_question(*small(model), draws=20)
    assert short.verdict.stretches == 0
    assert "stretches" not in short.verdict.reason


def small(model):
    x = torch.randn(1, 9, 4)
    asked = question(
        9,
        targets=("yes",),
        inputs=lambda kept: torch.where(kept[..., None], x, 0.0),
        scores=lambda model, batch: model(batch),
        route=encoder(model, range(9), pooling="pooling"),
        embedded=(),
    )
    return model, asked
