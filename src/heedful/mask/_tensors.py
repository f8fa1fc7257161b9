"""What masks do with the tensors they hold: look up, take rows, copy, compare, show."""

from typing import Any

import torch
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.listeners import compiling, in_memory, traced, transformed


def look_up(tensor: Tensor, index: tuple[Tensor, ...]) -> Tensor:
    """`tensor[index]`, where an axis of size 1 stands for every index."""
    return tensor[tuple(0 if n == 1 else i for n, i in zip(tensor.shape, index, strict=True))]


def take(tensor: Tensor, rows: Tensor) -> Tensor:
    count = tensor.shape[0]
    rows = rows.to(tensor.device)
    if rows.dtype == torch.bool:
        if rows.shape[0] != count:
            raise ShapeError(
                f"rows must have one boolean per batch row, got {rows.shape[0]} for {count}"
            )
        rows = rows.nonzero()[:, 0]
    if rows.shape[0] < 1:
        raise ShapeError("rows must choose at least one batch row, got none")
    if readable(rows) and (int(rows.min()) < 0 or int(rows.max()) >= count):
        raise ConfigError(f"rows must be in 0 to {count - 1}, got {rows.tolist()}")
    return tensor[rows]


def readable(tensor: Tensor) -> bool:
    """May values be looked at? Not in a graph, nor under a transform, where there are none yet."""
    return not compiling() and not transformed() and not traced() and in_memory(tensor)


def known_true(tensor: Tensor) -> bool:
    # On a GPU the answer would make the CPU wait for it, in every layer.
    return tensor.device.type == "cpu" and readable(tensor) and bool(tensor.all())


def own(tensor: Tensor) -> Tensor:
    """A private copy, so that a caller's in-place change cannot alter a mask."""
    return tensor.detach().clone()


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a.cpu(), b.cpu())
    return bool(a == b)


def show(tensor: Tensor) -> str:
    return str(tensor.tolist()) if tensor.numel() <= 16 else f"<{tuple(tensor.shape)}>"
