"""Logits of sounds: pooled by attention or by their mean, without what is padding."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.speech_classifier import SpeechClassifier

SIZES = {"bands": 10, "labels": 4, "channels": 3, "width": 8, "heads": 2, "feedforward": 12}


def classifier(**settings):
    torch.manual_seed(0)
    return SpeechClassifier(**{**SIZES, **settings}).eval()


@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_padding_and_company_change_nothing(pooling):
    model, x = classifier(pooling=pooling), torch.randn(2, 24, 10)
    x[0, 9:] = 0
    together = model(x, torch.tensor([9, 24]))
    alone = torch.cat([model(x[:1, :9], torch.tensor([9])), model(x[1:], torch.tensor([24]))])
    assert together.shape == (2, 4)
    torch.testing.assert_close(together, alone)


def test_the_mean_is_that_of_all_states():
    model, x = classifier(pooling="mean"), torch.randn(1, 24, 10)
    states, _ = model.encoder(x, torch.tensor([24]))
    torch.testing.assert_close(model(x, torch.tensor([24])), model.out(model.norm(states.mean(1))))


def test_settings_that_are_none_are_refused():
    want = "pooling must be one of attention, mean, got 'max'"
    with pytest.raises(ConfigError, match=re.escape(want)):
        classifier(pooling="max")
    with pytest.raises(ConfigError, match="heads must divide width"):
        classifier(heads=3, pooling="mean")
