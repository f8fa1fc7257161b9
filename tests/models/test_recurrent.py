"""Padded texts are read as if each stood alone."""

import pytest
import torch
from torch import nn

from heedful.errors import UnsupportedError
from heedful.models import recurrent


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_padding_is_not_read(kind):
    torch.manual_seed(2)
    layers = kind(4, 3, batch_first=True, bidirectional=True)
    x, lengths = torch.randn(2, 6, 4), torch.tensor([6, 2])
    states, last = recurrent.read(layers, x, lengths)
    alone, end = layers(x[1:, :2])
    torch.testing.assert_close(states[1, :2], alone[0])
    assert not states[1, 2:].any()
    ends = zip(last, end, strict=True) if isinstance(last, tuple) else [(last, end)]
    for ours, theirs in ends:
        torch.testing.assert_close(ours[:, 1:], theirs)


def test_without_lengths_a_state_is_carried_on():
    layers = nn.LSTM(4, 3, batch_first=True)
    x = torch.randn(2, 5, 4)
    states, _ = recurrent.read(layers, x)
    first, carried = recurrent.read(layers, x[:, :3])
    rest, _ = recurrent.read(layers, x[:, 3:], state=carried)
    torch.testing.assert_close(torch.cat([first, rest], 1), states)


def test_a_graph_of_texts_of_any_length_is_refused():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.GRU(4, 3, batch_first=True)

        def forward(self, x, lengths):
            return recurrent.read(self.layers, x, lengths)[0]

    with pytest.raises(UnsupportedError, match="got a GRU that reads place by place"):
        torch.export.export(Reads(), (torch.randn(2, 5, 4), torch.tensor([5, 3])), strict=False)
