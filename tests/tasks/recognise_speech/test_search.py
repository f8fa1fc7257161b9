"""Texts are found by either of the two ways, and so are the times of their tokens."""

import numpy as np
import pytest
import torch

from heedful.models.ctc import ctc_beam, ctc_greedy
from heedful.models.decoding import Limits, beam, greedy
from heedful.models.speech_recogniser import SpeechRecogniser
from heedful.nn.constant import Constant
from heedful.tasks.recognise_speech.config import Decode
from heedful.tasks.recognise_speech.search import search, times_of


@pytest.fixture
def model():
    torch.manual_seed(3)
    sizes = {"bands": 6, "size": 7, "channels": 3, "width": 8, "heads": 2, "feedforward": 12}
    return SpeechRecogniser(**sizes).eval()


@pytest.fixture
def batch():
    lengths = torch.tensor([40])
    return {"features": torch.randn(1, 40, 6), "features_lengths": lengths}


def test_every_search_is_the_one_that_was_asked_for(model, batch):
    given = (batch["features"], batch["features_lengths"])
    with torch.inference_mode():
        scores = model.heard(*given)
    limits = Limits(max_length=6)
    wanted = {
        ("ctc", 1): ctc_greedy(*scores),
        ("ctc", 3): ctc_beam(*scores, width=3),
        ("attention", 1): greedy(model, *given, limits=limits),
        ("attention", 3): beam(model, *given, width=3, limits=limits),
    }
    for (by, width), want in wanted.items():
        assert search(model, batch, Decode(by=by, beam=width, max_length=6)) == want


def test_times_are_shares_of_the_states(model, batch):
    found = times_of(model, batch, [4, 5], by="attention")
    assert [token for token, _ in found] == [4, 5]
    for _, weights in found:
        assert weights.shape == (10,)
        assert weights.sum() == pytest.approx(1)
    spans = times_of(model, batch, [], by="ctc")
    [heard] = search(model, batch, Decode())
    assert len(spans) >= len(heard) > 0
    for _, weights in spans:
        here = np.flatnonzero(weights)
        assert weights.sum() == pytest.approx(1)
        assert (np.diff(here) == 1).all()


def test_a_decoder_that_looks_nowhere_has_no_times(model, batch):
    assert times_of(model, batch, [], by="attention") == []
    model.decoder[0].cross_attention = Constant(8)
    assert times_of(model, batch, [4], by="attention") == []
