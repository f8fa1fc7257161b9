"""Recurrent layers as ONNX has them: one operator for a whole text, with the length of each."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

ORDER = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}  # torch's gates in the order of ONNX
VERSION = 14


def read(
    layers: nn.GRU | nn.LSTM,
    x: Float[Tensor, "batch length width"],
    lengths: Int[Tensor, " batch"] | None = None,
    state: Tensor | tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Any]:
    """Stand in for `heedful.models.recurrent.read` while a graph for ONNX is written down."""
    kind, ways = type(layers).__name__, 2 if layers.bidirectional else 1
    batch, length, states = x.shape[0], x.shape[1], layers.hidden_size
    dtypes = [x.dtype] * (3 if kind == "LSTM" else 2)
    shapes: Any = [(length, ways, batch, states), *[(ways, batch, states)] * (len(dtypes) - 1)]
    about: dict[str, Any] = {
        "hidden_size": states,
        "direction": "bidirectional" if ways == 2 else "forward",
    }
    if kind == "GRU":
        about["linear_before_reset"] = 1
    sizes = None if lengths is None else lengths.to(torch.int32)
    carried = () if state is None else state if isinstance(state, tuple) else (state,)
    over = x.transpose(0, 1)
    ends: list[list[Tensor]] = []
    for layer in range(layers.num_layers):
        first = [part[layer * ways : (layer + 1) * ways] for part in carried]
        made = torch.onnx.ops.symbolic_multi_out(
            kind,
            [over, *_weights(layers, layer), sizes, *first],
            about,
            dtypes=dtypes,
            shapes=shapes,
            version=VERSION,
        )
        over = made[0].transpose(1, 2).flatten(2)
        ends.append(list(made[1:]))
    last = [torch.cat(parts) for parts in zip(*ends, strict=True)]
    return over.transpose(0, 1), tuple(last) if kind == "LSTM" else last[0]


def _weights(layers: nn.GRU | nn.LSTM, layer: int) -> list[Tensor]:
    """Weights of the inputs and of the states, and both biases, way by way."""
    found: list[list[Tensor]] = []
    for way in ("", "_reverse") if layers.bidirectional else ("",):
        parts = [
            _ordered(layers, getattr(layers, f"{name}_l{layer}{way}"))
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        found.append([parts[0], parts[1], torch.cat(parts[2:])])
    return [torch.stack(parts) for parts in zip(*found, strict=True)]


def _ordered(layers: nn.GRU | nn.LSTM, gates: Tensor) -> Tensor:
    order = ORDER[type(layers).__name__]
    parts = gates.chunk(len(order))
    return torch.cat([parts[place] for place in order])
