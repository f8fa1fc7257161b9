"""The classifier of sequences: both strands are one molecule, and padding is nothing."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.sequence_classifier import SequenceClassifier
from heedful.nn.attention import Attention
from heedful.nn.pooling import AttentionPooling

# padding, A, C, G, T, N
CODES = torch.tensor([[0.0] * 4, *torch.eye(4).tolist(), [0.25] * 4])
COMPLEMENT = torch.tensor([0, 4, 3, 2, 1, 5])
POOLINGS = pytest.mark.parametrize("pooling", ["attention", "mean", "max"])


def network(*, both=False, **settings):
    torch.manual_seed(0)
    sizes = {"width": 8, "heads": 2, "feedforward": 12, "kernel": 3, "convolutions": 1}
    complement = COMPLEMENT if both else None
    return SequenceClassifier(CODES, complement, labels=3, **sizes | settings).eval()


def letters(rows=3, length=7):
    return torch.randint(1, 5, (rows, length), generator=torch.Generator().manual_seed(1))


@POOLINGS
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [0, 1])
def test_padding_cannot_matter(pooling, both, layers):
    made = network(both=both, pooling=pooling, layers=layers)
    lengths = torch.tensor([7, 4, 1])
    inside = torch.arange(7) < lengths[:, None]
    together = made(letters() * inside, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = made(letters()[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row], alone[0])


@POOLINGS
def test_both_strands_of_a_molecule_are_one(pooling):
    made, lengths = network(both=True, pooling=pooling), torch.tensor([7, 5, 2])
    inside = torch.arange(7) < lengths[:, None]
    own = letters() * inside
    other = torch.zeros_like(own)
    for row, length in enumerate(lengths.tolist()):
        other[row, :length] = COMPLEMENT[own[row, :length]].flip(0)
    assert torch.equal(made.other_strand(own, lengths, COMPLEMENT), other)
    torch.testing.assert_close(made(own, lengths), made(other, lengths))
    one = network(pooling=pooling)
    assert not torch.allclose(one(own, lengths), one(other, lengths))


def test_a_letter_that_may_be_any_is_the_mean_of_them():
    made = network()
    vectors = made.embedding(made.codes)
    torch.testing.assert_close(vectors[5], vectors[1:5].mean(0))


@POOLINGS
def test_pooling_is_what_it_says(pooling):
    made, lengths = network(pooling=pooling, layers=0), torch.tensor([7])
    x = made.convolutions(made.embedding(made.codes[letters(1)]), lengths)
    if pooling == "attention":
        pooled = made.pooling(x)[:, 0]
    else:
        pooled = x.mean(1) if pooling == "mean" else x.max(1).values
    torch.testing.assert_close(made(letters(1), lengths), made.out(made.norm(pooled)))


def test_attention_is_where_it_was_asked_for():
    kinds = (Attention, AttentionPooling)
    count = {
        (layers, pooling): [
            type(part)
            for part in network(layers=layers, pooling=pooling).modules()
            if isinstance(part, kinds)
        ]
        for layers in (0, 2)
        for pooling in ("attention", "max")
    }
    assert count[0, "max"] == []
    assert count[0, "attention"] == [AttentionPooling]
    assert count[2, "attention"] == [Attention, Attention, AttentionPooling]


def test_wrong_settings_are_refused():
    words = "pooling must be one of attention, mean, max, got 'sum'"
    with pytest.raises(ConfigError, match=re.escape(words)):
        network(pooling="sum")
    with pytest.raises(ConfigError, match="kernel must be odd, got 4"):
        network(kernel=4)
    with pytest.raises(ConfigError, match="heads"):
        network(heads=3)
