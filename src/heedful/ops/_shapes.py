"""Checks that every op shares, so that one mistake has one wording."""

from torch import Tensor

from heedful.errors import ShapeError
from heedful.kernels.call import check_qkv as check_qkv


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
