"""Why a text was heard: stretches that fall silent, and tokens by either decoder."""

import itertools
from dataclasses import replace

import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.tasks.catalog import parse_config
from heedful.tasks.recognise_speech.task import RecogniseSpeech, Transcript
from heedful.training.start import build

pytest.importorskip("soundfile", reason="the extra sound is not installed")
SMALL = {"width": 16, "channels": 8, "layers": 1, "heads": 2, "feedforward": 16, "stride": 4}


def asked(by, text="5 5", **model):
    tables = {"task": "recognise-speech", "decode": {"by": by}, "sound": {"bands": 20}}
    tables["data"] = {"examples": 12, "dev": 2, "test": 2, "lines": ["desk"]}
    config = parse_config({**tables, "model": {**SMALL, **model}})
    task = RecogniseSpeech.fit(config, RecogniseSpeech.read(config).train)
    torch.manual_seed(6)
    network = build(task).eval()
    example = task.parse("tones:5")
    heard = Transcript(text, tuple(task.vocabulary.encode([text])[0][1:-1]))
    return task, network, example, task.question(network, example, heard)


def scored(network, question):
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    return question.scores(network, question.inputs(kept))[0].double()


def spread(shares, tokens):
    """The probability of a text: every way to spread it over states, one by one."""
    total = 0.0
    for path in itertools.product(range(shares.shape[1]), repeat=len(shares)):
        if [token for token, _ in itertools.groupby(path) if token] == tokens:
            total += torch.stack([shares[n, token] for n, token in enumerate(path)]).prod()
    return total


def test_what_ctc_heard_is_compared_with_texts_without_a_token():
    from heedful.tasks.recognise_speech.question import _likelier

    generator = torch.Generator().manual_seed(1)
    heard = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64).log_softmax(-1)
    found = _likelier(heard, [2, 1])
    for row, states in enumerate(heard.exp()):
        whole = spread(states, [2, 1])
        expected = [(whole / spread(states, [token])).log() for token in (1, 2)]
        torch.testing.assert_close(found[row], torch.stack(expected))


def test_what_the_decoder_wrote_has_the_odds_of_the_plain_batch():
    task, network, example, question = asked("attention")
    batch = task.encode([replace(example, label="5 5")]).batch([0], "cpu")
    written = network(batch["features"], batch["features_lengths"], batch["text"][:, :-1])[0]
    chosen = written.softmax(-1).double()[range(3), batch["text"][0, 1:4]]
    assert question.targets == ("5", "<unk>", "5")  # no line of these has a space
    expected = (chosen / (1 - chosen)).log()
    torch.testing.assert_close(scored(network, question), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("by", ["ctc", "attention"])
def test_an_unknown_token_that_was_heard_is_one(by):
    _, network, _, question = asked(by, "z5")
    assert question.targets == ("<unk>", "5")
    assert scored(network, question).shape == (2,)


def test_a_stretch_that_is_removed_is_silent():
    task, _, example, question = asked("ctc")
    kept = torch.ones(2, 11, dtype=torch.bool)
    kept[1, 2] = False
    whole, without = question.inputs(kept)
    features = torch.from_numpy(task.encode([example]).features[0])
    assert question.pieces[:3] == ("0.00 s", "0.04 s", "0.08 s")
    assert torch.equal(whole, features)
    assert (whole != without).any(1).nonzero()[:, 0].tolist() == [8, 9, 10, 11]
    assert torch.equal(without[8:12], features.amin(0).expand(4, -1))


@pytest.mark.parametrize("by", ["ctc", "attention"])
def test_attention_and_slopes_lead_to_stretches(by):
    _, network, _, question = asked(by)
    found = gradient_attention(network, question)
    assert found.weights.shape == (3, len(question.pieces))
    assert found.weights.min() >= 0 < found.weights.max()
    assert found.error < 1e-4
    assert integrated_gradients(network, question, steps=2).weights.any(1).all()


@pytest.mark.parametrize("by, route", [("ctc", False), ("attention", True)])
def test_convolutions_are_no_route(by, route):
    assert (asked(by, attention=False)[3].route is not None) == route


def test_one_token_can_be_asked_about():
    _, network, _, question = asked("ctc", "5")
    assert scored(network, question).isfinite().all()


def test_silence_is_refused():
    with pytest.raises(UnsupportedError, match="must hold a token to be explained, got none"):
        asked("ctc", "")
