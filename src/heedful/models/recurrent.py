"""Recurrent layers over texts of different lengths: what is padding is not read."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from heedful.errors import UnsupportedError
from heedful.listeners import compiling

State = Tensor | tuple[Tensor, Tensor]


def read(
    layers: nn.GRU | nn.LSTM,
    x: Float[Tensor, "batch length width"],
    lengths: Int[Tensor, " batch"] | None = None,
    state: State | None = None,
) -> tuple[Float[Tensor, "batch length states"], State]:
    """Return the states at every place, 0 behind the end of a text, and the last ones.

    Args:
        layers: With the batch first.
        x: What is read.
        lengths: Of each text. `None`: all are whole.
        state: From which the first place goes on, where no lengths are given.

    Raises:
        UnsupportedError: In a graph, which would hold one piece for every place of one text.
    """
    one = type(x.shape[1]) is int  # and no symbol: a step
    if compiling() and (lengths is not None or not one):
        kind = type(layers).__name__
        raise UnsupportedError(
            f"a graph must be of operations on whole texts, got a {kind} that reads place by place"
        )
    if isinstance(layers, nn.LSTM) and x.is_cpu and not _lstm_takes_bf16():
        with torch.autocast("cpu", enabled=False):
            return _read(layers, x.float(), lengths, _in_full(state))
    return _read(layers, x, lengths, state)


def _read(
    layers: nn.GRU | nn.LSTM, x: Tensor, lengths: Tensor | None, state: State | None
) -> tuple[Tensor, State]:
    if lengths is None:
        return layers(x, state)
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    found: Any = layers(packed)
    states, _ = pad_packed_sequence(found[0], batch_first=True, total_length=x.shape[1])
    return states, found[1]


def _lstm_takes_bf16() -> bool:
    """Does torch's LSTM run under autocast here? Without AVX-512 its library has none in bf16."""
    if not torch.is_autocast_enabled("cpu"):
        return True
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()  # pyright: ignore[reportPrivateUsage]


def _in_full(state: State | None) -> State | None:
    if isinstance(state, tuple):
        return state[0].float(), state[1].float()
    return None if state is None else state.float()
