"""States of sounds: as many as there should be, whatever stands beside a sound in its batch."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.speech_encoder import SpeechEncoder
from heedful.probing.probe import probe

SIZES = {"bands": 10, "channels": 3, "width": 8, "heads": 2, "feedforward": 12}


def encoder(**settings):
    torch.manual_seed(0)
    return SpeechEncoder(**{**SIZES, **settings}).eval()


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_padding_and_company_change_nothing(stride, attention):
    model, lengths = encoder(stride=stride, attention=attention), [1, 7, 16]
    x = torch.randn(3, 16, 10)
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    states, counts = model(x, torch.tensor(lengths))
    assert counts.tolist() == [-(-length // stride) for length in lengths]
    assert states.shape == (3, -(-16 // stride), 8)
    for row, (length, count) in enumerate(zip(lengths, counts.tolist(), strict=True)):
        alone, _ = model(x[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(states[row : row + 1, :count], alone)


@pytest.mark.parametrize("attention, reaches", [(True, True), (False, False)])
def test_only_attention_reaches_the_whole_sound(attention, reaches):
    model, x = encoder(attention=attention, layers=1), torch.randn(1, 80, 10)
    other = x.clone()
    other[0, -1] += 5
    first, second = (model(each, torch.tensor([80]))[0][0, 0] for each in (x, other))
    assert torch.equal(first, second) is not reaches


def test_its_attention_can_be_probed():
    model = encoder(layers=2)
    with probe(model) as heard:
        model(torch.randn(1, 16, 10), torch.tensor([16]))
    assert {site for site in heard.sites if "self_attention" in site} == {
        "layers.0.self_attention",
        "layers.1.self_attention",
    }


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=re.escape("stride must be 1, 2 or 4, got 3")):
        encoder(stride=3)
    with pytest.raises(ConfigError, match="heads must divide width"):
        encoder(heads=3)
