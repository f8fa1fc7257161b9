"""What all processes of a ring must agree on before one of them waits for another."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from heedful.distributed.zigzag import Ring, check_cells
from heedful.errors import ConfigError, HeedfulError, ShapeError
from heedful.kernels.call import Call
from heedful.mask import Mask

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class _Said(NamedTuple):
    """What one process has, as whole numbers; all 0 where it is wrong in itself."""

    sound: int = 0
    queries: int = 0
    keys: int = 0
    # what must be the same everywhere
    batch: int = 0
    heads: int = 0
    kv_heads: int = 0
    dim: int = 0
    value_dim: int = 0
    dtype: int = 0
    mask: int = 0


ALIKE = _Said._fields[3:]


def agreed(
    ring: Ring, query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, scale: float | None
) -> tuple[Call, tuple[int, int]]:
    """The call, checked, and how many queries and keys there are in all; all fail, or none does.

    Raises:
        HeedfulError: This process's tensors do not fit together, or not to those of the others.
    """
    try:
        call = _checked(query, key, value, mask, scale)
    except HeedfulError:
        device = query.device if isinstance(query, Tensor) else torch.device("cpu")  # pyright: ignore[reportUnnecessaryIsInstance]
        _told_by_all(ring, _Said(), device)  # else the others would wait for ever
        raise
    (batch, heads, queries, dim), (_, kv_heads, keys, value_dim) = call.query.shape, value.shape
    sizes = (batch, heads, kv_heads, dim, value_dim)
    own = _Said(1, queries, keys, *sizes, DTYPES.index(call.query.dtype), mask is not None)
    said = _told_by_all(ring, own, call.query.device)
    for rank, other in enumerate(said):
        if not other.sound:
            raise ShapeError(f"every process must give what fits, got an error in process {rank}")
        for name in ALIKE:
            one, another = getattr(said[0], name), getattr(other, name)
            if one != another:
                raise ShapeError(
                    f"all processes must have the same {name}, "
                    f"got {_value(name, one)} in process 0 and {_value(name, another)} in {rank}"
                )
    for name in ("queries", "keys"):
        check_cells(name, [getattr(each, name) for each in said], ring.size)
    whole = sum(each.queries for each in said), sum(each.keys for each in said)
    if mask is not None:
        mask.check(*whole, batch=batch, heads=heads)
    return call, whole


def _checked(
    query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, scale: float | None
) -> Call:
    """The call of this process; its mask is one of the whole text, and not checked by it."""
    if mask is not None and not isinstance(mask, Mask):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"mask must be a heedful.Mask, got {type(mask).__name__}")
    return Call.of(query, key, value, None, None, scale)


def _told_by_all(ring: Ring, own: _Said, device: torch.device) -> list[_Said]:
    numbers = torch.tensor([int(x) for x in own], dtype=torch.int64, device=device)
    said = [torch.empty_like(numbers) for _ in range(ring.size)]
    dist.all_gather(said, numbers, group=ring.group)
    return [_Said(*each.tolist()) for each in said]


def _value(name: str, number: int) -> str:
    if name == "dtype":
        return str(DTYPES[number])
    if name == "mask":
        return "a mask" if number else "none"
    return str(number)
