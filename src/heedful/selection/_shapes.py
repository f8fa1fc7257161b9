"""What the functions of this folder refuse, with one wording."""

import math

from torch import Tensor

from heedful.errors import ConfigError, ShapeError


def check_query_key(query: Tensor, key: Tensor) -> None:
    """Raise unless both are `(batch, heads, length, dim)` and fit together.

    Raises:
        ShapeError: They do not fit.
        ConfigError: One of them is not floating-point.
    """
    for name, tensor in (("query", query), ("key", key)):
        check_positions(name, tensor)
    if key.shape[0] != query.shape[0]:
        raise ShapeError(
            f"query and key must have the same batch size, got {query.shape[0]} and {key.shape[0]}"
        )
    heads, kv_heads = query.shape[1], key.shape[1]
    if kv_heads < 1 or heads % kv_heads:
        raise ShapeError(f"heads of key must divide heads of query, got {kv_heads=}, {heads=}")
    if query.shape[3] != key.shape[3]:
        raise ShapeError(
            f"query and key must have the same dim, got {query.shape[3]} and {key.shape[3]}"
        )


def check_positions(name: str, tensor: Tensor) -> None:
    """4-D and floating-point."""
    if tensor.ndim != 4:
        raise ShapeError(
            f"{name} must be 4-D (batch, heads, length, dim), "
            f"got a tensor of shape {tuple(tensor.shape)}"
        )
    if not tensor.is_floating_point():
        raise ConfigError(f"{name} must be floating-point, got {tensor.dtype}")


def check_count(name: str, value: int, *, least: int) -> None:
    """At least so many."""
    if value < least:
        raise ConfigError(f"{name} must be at least {least}, got {value}")


def factor(query: Tensor, scale: float | None) -> float:
    """`scale`, or what it is by default."""
    return 1 / math.sqrt(query.shape[3]) if scale is None else scale
