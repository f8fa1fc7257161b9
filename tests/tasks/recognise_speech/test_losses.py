"""Both losses, joined; and what a recogniser says row by row."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from heedful.data.ragged import Ragged
from heedful.models.speech_recogniser import SpeechRecogniser, ctc_loss
from heedful.tasks.columns import Columns
from heedful.tasks.recognise_speech.losses import both_rows, joint_loss
from heedful.tasks.spectrograms import Spectrograms

TEXTS = [[1, 4, 5, 2], [1, 6, 2]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"bands": 6, "size": 7, "channels": 3, "width": 8, "heads": 2, "feedforward": 12}
    return SpeechRecogniser(**sizes).eval()


@pytest.fixture(scope="module")
def batch():
    draw = np.random.default_rng(0)
    features = [draw.normal(size=(frames, 6)).astype(np.float32) for frames in (21, 14)]
    data = Spectrograms(features, Columns(text=Ragged.pack(TEXTS)))
    return data.batch([0, 1], "cpu")


def test_losses_are_joined_by_their_share(model, batch):
    with torch.no_grad():
        logits, states, written = model.both(
            batch["features"], batch["features_lengths"], batch["text"][:, :-1]
        )
        heard = ctc_loss(logits, states, torch.tensor([[4, 5], [6, 0]]), torch.tensor([2, 1]))
        told = sum(
            cross_entropy(written[row, : len(text) - 1], torch.tensor(text[1:]), reduction="sum")
            for row, text in enumerate(TEXTS)
        )
        for share in (0.0, 0.3, 1.0):
            loss, count = joint_loss(model, batch, share=share)
            assert loss.item() == pytest.approx(
                share * heard.item() + (1 - share) * told.item(), rel=1e-5
            )
            assert count == 5


def test_rows_are_tokens_with_their_truth_and_states_without(model, batch):
    with torch.no_grad():
        rows = both_rows(model, batch)
        logits, _, written = model.both(
            batch["features"], batch["features_lengths"], batch["text"][:, :-1]
        )
    assert rows.truth.tolist() == [4, 5, 2, 6, 2] + [-100] * (6 + 4)
    assert rows.example.tolist() == [0] * 3 + [1] * 2 + [0] * 6 + [1] * 4
    torch.testing.assert_close(rows.outputs[:3], written[0, :3])
    torch.testing.assert_close(rows.outputs[-4:], logits[1, :4])
