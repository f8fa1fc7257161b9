"""Checks that every op shares, so that one mistake has one wording."""

from torch import Tensor

from heedful.errors import ConfigError, ShapeError


def check_qkv(
    query: Tensor, key: Tensor, value: Tensor | None = None, *, same_dim: bool = True
) -> None:
    """Raise unless the tensors are `(batch, heads, length, dim)` and fit together.

    Args:
        query: What is looked for.
        key: What is looked at; its heads divide those of `query`.
        value: What is returned; shaped like `key` up to its last axis.
        same_dim: Must `query` and `key` have the same dim?

    Raises:
        ShapeError: They do not fit.
        ConfigError: One of them is not floating-point.
    """
    named = {"query": query, "key": key} | ({} if value is None else {"value": value})
    for name, tensor in named.items():
        if tensor.ndim != 4:
            raise ShapeError(
                f"{name} must be 4-D (batch, heads, length, dim), "
                f"got a tensor of shape {tuple(tensor.shape)}"
            )
        if not tensor.is_floating_point():
            raise ConfigError(f"{name} must be floating-point, got {tensor.dtype}")
        if len(tensor) != len(query):
            raise ShapeError(
                f"query and {name} must have the same batch size, "
                f"got {len(query)} and {len(tensor)}"
            )
    heads, kv_heads = query.shape[1], key.shape[1]
    if kv_heads < 1 or heads % kv_heads:
        raise ShapeError(f"heads of key must divide heads of query, got {kv_heads=}, {heads=}")
    if same_dim and query.shape[3] != key.shape[3]:
        raise ShapeError(
            f"query and key must have the same dim, got {query.shape[3]} and {key.shape[3]}"
        )
    if value is not None and value.shape[1] != kv_heads:
        raise ShapeError(
            f"key and value must have the same heads, got {kv_heads} and {value.shape[1]}"
        )
    if value is not None and value.shape[2] != key.shape[2]:
        raise ShapeError(
            f"key and value must have the same length, got {key.shape[2]} and {value.shape[2]}"
        )


def check_axes(name: str, tensor: Tensor, **axes: int) -> None:
    """Raise unless `tensor` has exactly these axes, e.g. `heads=4, dim=8`.

    Raises:
        ShapeError: Another shape.
    """
    if tuple(tensor.shape) != tuple(axes.values()):
        want = ", ".join(f"{axis}={size}" for axis, size in axes.items())
        raise ShapeError(f"{name} must have shape ({want}), got {tuple(tensor.shape)}")


def check_one_query(query: Tensor, history: str) -> None:
    """Raise unless there is one query: `history` is what happened before exactly that one.

    Raises:
        ShapeError: Several queries, or none.
    """
    if query.shape[2] != 1:
        raise ShapeError(
            f"query must have length 1 because {history} changes from query to query, "
            f"got {query.shape[2]}"
        )
