"""What is counted while models run, against what their sizes say."""

import numpy as np
import pytest
import torch
from torch import nn

from heedful.nn.attention import Attention
from heedful.tasks.translation.config import Config, RnnModel, TransformerModel
from heedful.tasks.translation.task import Translation
from heedful.tuning.macs import attending, attention_macs

LENGTH = 7
ALIGNERS = ["additive", "dot", "scaled_dot", "general", "location", "coverage", "none"]


class Nine:
    """Stands in for vocabularies of nine tokens."""

    size = 9

    def __init__(self):
        self.source = self.target = self


class Same:
    """One text of some tokens, and a translation of as many."""

    sizes = np.ones((1, 1), int)

    def __init__(self, length):
        self.length = length

    def batch(self, rows, device):
        text = torch.full((1, self.length), 5)
        target = torch.full((1, self.length + 1), 5)
        return text, torch.tensor([self.length]), target


class OfLength(Translation):
    """Examples are lengths."""

    def encode(self, examples, *, training=False):
        (length,) = examples
        return Same(length)


def counted(sizes, lengths=(LENGTH,)):
    task = OfLength(Config(model=sizes), Nine())
    model = task.build().eval()
    sites = attending(task, model, lengths[0])
    return attention_macs(task, model, lengths, sites=sites)


def attention(sizes, length):
    """One attention, by its sizes: every query with every key, also those that a mask hides."""
    heads = sizes.heads if sizes.kv_heads is None else sizes.kv_heads
    shared = sizes.width * heads // sizes.heads  # width of all keys, and of all values
    projections = 2 * length * sizes.width * (sizes.width + shared)
    return projections + 2 * length * length * sizes.width


def without_seeing_ahead(sizes, length):
    """What writing token by token spares of that: each sees itself and those before it."""
    return 2 * sizes.width * (length * length - length * (length + 1) // 2)


def written(sizes, length):
    """A text is read, and one of as many tokens written one by one, with keys and values kept."""
    whole = attention(sizes, length)
    decoder = whole - without_seeing_ahead(sizes, length) + whole
    return sizes.encoder_layers * whole + sizes.decoder_layers * decoder


@pytest.mark.parametrize("kv_heads", [None, 1, 3])
@pytest.mark.parametrize("positions", ["learned", "rotary+sinusoidal", "relative"])
def test_a_transformer_is_counted_by_its_sizes(kv_heads, positions):
    sizes = TransformerModel(
        width=24, heads=6, kv_heads=kv_heads, encoder_layers=2, decoder_layers=3, feedforward=20
    ).model_copy(update={"positions": positions})
    at_once = sizes.decoder_layers * without_seeing_ahead(sizes, LENGTH)
    assert counted(sizes) == written(sizes, LENGTH) + at_once


def by_hand(kind, hidden, length):
    """What the rules of aligners say, in loops."""
    states, total = 2 * hidden, 0
    if kind == "none":
        return 0
    for _ in range(length):  # the encoder's states, once
        total += states * hidden if kind != "general" else 0
    for _ in range(length):  # the decoder's
        total += {"dot": 0, "general": hidden * states}.get(kind, hidden * hidden)
        for _ in range(length):
            total += states if kind == "general" else hidden
            total += states  # the mixture
            total += 8 * 7 + 8 * hidden if kind == "location" else 0
    return total


@pytest.mark.parametrize("kind", ALIGNERS)
def test_an_aligner_is_counted_by_its_rule(kind):
    """What coverage adds to the keys is multiplied, but not summed up: that does not count."""
    sizes = RnnModel(width=5, hidden=6, attention=kind)
    assert counted(sizes) == by_hand(kind, 6, LENGTH)


def test_the_mean_of_examples_counts():
    sizes = RnnModel(width=5, hidden=6, attention="dot")
    lengths = (2, 3, 7)
    assert counted(sizes, lengths) == sum(by_hand("dot", 6, each) for each in lengths) / 3


class Mixed(nn.Module):
    """Attention of three libraries, of which one was never heard of, and what is none."""

    def __init__(self, training):
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.own = Attention(width=8, heads=2)
        self.torch = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.unheard = Unheard()
        self.train(training)

    def forward(self, x):
        return self.unheard(self.torch(self.own(self.inner(x))))


class Unheard(nn.Module):
    def forward(self, x):
        return torch.einsum("bqk,bkd->bqd", torch.einsum("bqd,bkd->bqk", x, x).softmax(-1), x)


class Any:
    """A task with nothing but a loss."""

    def encode(self, examples):
        return self

    def batch(self, rows, device):
        return torch.ones(1, 5, 8)

    def rows(self, model, batch):
        raise AssertionError("it says nothing row by row")

    def loss(self, model, batch):
        return model(batch).sum(), 1


@pytest.mark.parametrize("training", [True, False], ids=["training", "fused layers"])
def test_attention_of_anybody_is_counted(training, monkeypatch):
    monkeypatch.setattr("heedful.tuning.macs.Task.rows", Any.rows)
    task, model = Any(), Mixed(training)
    sites = attending(task, model, None)
    assert sites == ["own", "torch.self_attn", "unheard"]
    projected = 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8
    fast = torch.backends.mha.get_fastpath_enabled()
    assert attention_macs(task, model, [None], sites=sites) == 2 * projected + 2 * 5 * 5 * 8
    assert torch.backends.mha.get_fastpath_enabled() is fast
    assert not model.own.__dict__.keys() & {"forward"}


class Answers(Any):
    """A task with neither, as one that learns in a way of its own."""

    def answer(self, model, data):
        return [model(data.batch([0], "cpu"))]


def test_without_rows_and_loss_answers_are_counted(monkeypatch):
    monkeypatch.setattr("heedful.tuning.macs.Task.rows", Answers.rows)
    monkeypatch.setattr("heedful.tuning.macs.Task.loss", Answers.loss)
    assert attention_macs(Answers(), Mixed(False), [None], sites=["unheard"]) == 2 * 5 * 5 * 8
