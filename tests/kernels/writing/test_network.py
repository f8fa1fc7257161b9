"""What the library refuses; the scores that it gives stand in `test_native_writing.py`."""

import re

import pytest
import torch

from heedful.errors import KernelError
from heedful.kernels.writing import network
from heedful.models import Transformer, native_writing

SOURCES, TARGETS = 11, 7


@pytest.fixture
def writer(loaded):
    """A network of a model with random numbers."""
    loaded(network.library)
    sizes = {"source_size": SOURCES, "target_size": TARGETS, "width": 8, "heads": 2}
    model = Transformer(**sizes, positions="learned", max_length=6).eval()
    source, lengths = texts([[3, 4], [5, 6]])
    found = native_writing._network_of(model, source, lengths)
    assert found is not None
    return found


def texts(rows):
    return torch.tensor(rows), torch.tensor([len(row) for row in rows])


def test_one_step_after_the_other(writer):
    source, lengths = texts([[3, 4], [5, 6]])
    state = writer.start(source, lengths, most=6)
    first = state.step(torch.tensor([1, 1]))
    assert first.shape == (2, TARGETS)
    state.select(torch.tensor([1, 1, 0]))
    assert state.rows == 3
    again = state.step(torch.tensor([2, 2, 2]))
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])


def test_numbers_of_four_bytes_are_taken_too(writer):
    source, lengths = texts([[3, 4], [5, 6]])
    limits = {"bos": 1, "eos": 2, "most": 4}
    wanted = writer.write(source, lengths, **limits)
    assert writer.write(source.int(), lengths.int(), **limits) == wanted
    scattered = source.T.contiguous().T
    assert writer.write(scattered, lengths, **limits) == wanted


@pytest.mark.parametrize(
    "rows, settings",
    [
        ([[3, SOURCES]], {}),
        ([[3, -1]], {}),
        ([[3] * 7], {}),  # it has six places
        ([[3, 4]], {"bos": TARGETS}),
        ([[3, 4]], {"most": 7, "eos": -1}),
        ([[3, 4]], {"most": network.LONGEST + 1}),
    ],
)
def test_what_it_cannot_say_it_does_not(writer, rows, settings):
    limits = {"bos": 1, "eos": 2, "most": 4} | settings
    assert writer.write(*texts(rows), **limits) is None


@pytest.mark.parametrize("lengths", [[-1, 1], [3, 1]])
def test_lengths_must_fit(writer, lengths):
    source, _ = texts([[3, 4], [5, 6]])
    assert writer.write(source, torch.tensor(lengths), bos=1, eos=2, most=4) is None
    assert writer.start(source, torch.tensor(lengths), most=4) is None


def test_no_more_steps_than_it_has_places(writer):
    assert writer.start(*texts([[3, 4]]), most=7) is None
    state = writer.start(*texts([[3, 4]]), most=6)
    for _ in range(6):
        state.step(torch.tensor([1]))
    message = "tokens must be known and as many as there are rows, got [1]"
    with pytest.raises(KernelError, match=re.escape(message)):
        state.step(torch.tensor([1]))


@pytest.mark.parametrize("tokens", [[TARGETS, 1], [1, -1], [1], [1, 1, 1]])
def test_tokens_must_be_known(writer, tokens):
    state = writer.start(*texts([[3, 4], [5, 6]]), most=6)
    message = f"tokens must be known and as many as there are rows, got {tokens}"
    with pytest.raises(KernelError, match=re.escape(message)):
        state.step(torch.tensor(tokens))


@pytest.mark.parametrize("rows", [[0, 2], [-1]])
def test_rows_must_be_there(writer, rows):
    state = writer.start(*texts([[3, 4], [5, 6]]), most=6)
    with pytest.raises(KernelError, match=re.escape(f"rows must be below 2, got {rows}")):
        state.select(torch.tensor(rows))
    assert state.rows == 2


class Full:
    """A library without memory."""

    def heedful_network(self, words):
        return None

    def heedful_write(self, *_):
        return network.NO_MEMORY

    def heedful_writing_step(self, *_):
        return network.NO_MEMORY


def test_memory_may_be_full(writer, monkeypatch):
    state = writer.start(*texts([[3, 4]]), most=6)
    monkeypatch.setattr(network, "_library", [Full()])
    with pytest.raises(KernelError, match="a network must fit into memory, got no memory left"):
        network.Network([], [], target_size=1)
    for part in (writer, state):
        monkeypatch.setattr(part, "_library", Full())
    with pytest.raises(KernelError, match="a text must fit into memory, got no memory left"):
        writer.write(*texts([[3, 4]]), bos=1, eos=2, most=4)
    with pytest.raises(KernelError, match="a text must fit into memory, got no memory left"):
        state.step(torch.tensor([1]))


def test_it_may_be_switched_off(monkeypatch):
    monkeypatch.setenv("HEEDFUL_KERNELS", "off")
    message = "the native kernel must be switched on, got HEEDFUL_KERNELS=off"
    with pytest.raises(KernelError, match=message):
        network.library()
