"""A recogniser writes step by step what it says at once; CTC's loss is that of all paths."""

import math

import pytest
import torch
from tests.models.test_ctc import all_texts

from heedful.models.decoding import Limits, beam, greedy
from heedful.models.seq2seq import Seq2Seq
from heedful.models.speech_recogniser import SpeechRecogniser, ctc_loss

SIZES = {"bands": 10, "size": 7, "channels": 3, "width": 8, "heads": 2, "feedforward": 12}
LENGTHS = torch.tensor([9, 24])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SpeechRecogniser(**SIZES, decoder_layers=2, layers=1).eval()


@pytest.fixture(scope="module")
def features():
    x = torch.randn(2, 24, 10, generator=torch.Generator().manual_seed(1))
    x[0, 9:] = 0
    return x


def test_steps_say_what_is_said_at_once(model, features):
    target = torch.tensor([[1, 4, 5, 6], [1, 6, 6, 4]])
    whole = model(features, LENGTHS, target)
    state = model.start(features, LENGTHS)
    steps = torch.stack([model.step(target[:, at], state) for at in range(4)], dim=1)
    torch.testing.assert_close(steps, whole)
    heard, states, written = model.both(features, LENGTHS, target)
    torch.testing.assert_close(written, whole)
    scores, again = model.heard(features, LENGTHS)
    torch.testing.assert_close(scores, heard.log_softmax(-1))
    assert states.tolist() == again.tolist() == [3, 6]


def test_padding_and_company_change_nothing(model, features):
    target = torch.tensor([[1, 4, 5, 6], [1, 6, 6, 4]])
    heard, _, whole = model.both(features, LENGTHS, target)
    alone, _, written = model.both(features[:1, :9], LENGTHS[:1], target[:1])
    torch.testing.assert_close(written, whole[:1])
    torch.testing.assert_close(alone, heard[:1, :3])


def test_the_searches_of_texts_take_it(model, features):
    assert isinstance(model, Seq2Seq)
    limits = Limits(max_length=5)
    found = greedy(model, features, LENGTHS, limits=limits)
    assert found == beam(model, features, LENGTHS, width=1, limits=limits)
    assert max(map(len, found)) <= 5


def test_the_loss_of_ctc_sums_over_all_paths():
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(2))
    texts, tokens, states = torch.tensor([[1, 1], [2, 0]]), torch.tensor([2, 1]), [4, 3]
    loss = ctc_loss(logits, torch.tensor(states), texts, tokens)
    logs = logits.log_softmax(-1)
    want = -math.log(all_texts(logs[0])[1, 1]) - math.log(all_texts(logs[1, :3])[(2,)])
    assert loss.item() == pytest.approx(want, rel=1e-5)


def test_a_text_without_room_adds_nothing():
    logits = torch.randn(1, 2, 3, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([2]), torch.tensor([[1, 1]]), torch.tensor([2]))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()
