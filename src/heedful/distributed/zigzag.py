"""Who holds which positions of a text: two cells each, one from either end, so that work is equal.

A text is cut into twice as many cells as there are processes; process `r` of `n` holds the cells
`r` and `2n - 1 - r`. Under a causal mask early positions see little and late ones much: so each
process has as much to do as any other, at every step of the ring.
"""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from heedful.errors import ConfigError, ShapeError


class Ring(NamedTuple):
    """The processes of a group, in a circle.

    Args:
        group: Of torch; `None` is all processes.
        rank: Of this process, in the group.
        size: Of the group.
    """

    group: ProcessGroup | None
    rank: int
    size: int

    def peer(self, step: int) -> int:
        """The process that many places on, by its number among all."""
        rank = (self.rank + step) % self.size
        return rank if self.group is None else dist.get_global_rank(self.group, rank)


def ring_of(group: ProcessGroup | None) -> Ring:
    """The ring of a group.

    Raises:
        ConfigError: There are no process groups, or this process is in none of that name.
    """
    if not dist.is_available() or not dist.is_initialized():
        raise ConfigError(
            "a process group must be there, got none. "
            "Call torch.distributed.init_process_group() in every process first."
        )
    rank = dist.get_rank(group)
    if rank < 0:
        raise ConfigError(f"this process must belong to the group, got {group!r:.80}")
    return Ring(group, rank, dist.get_world_size(group))


def cells(length: int, rank: int, size: int) -> tuple[range, range]:
    """The two ranges of positions that a process holds; sizes differ by one at most.

    Args:
        length: Of the whole text.
        rank: Of the process.
        size: How many processes there are.
    """
    first, last = (
        range(length * cell // (2 * size), length * (cell + 1) // (2 * size))
        for cell in (rank, 2 * size - 1 - rank)
    )
    return first, last


def places(length: int, *, group: ProcessGroup | None = None) -> Tensor:
    """Return which positions of a text this process holds, in their order: 1-D, integers.

    Args:
        length: Of the whole text.
        group: The processes that share it. `None` means: all.

    Raises:
        ConfigError: There is no process group, or this process is not in it.
    """
    ring = ring_of(group)
    return torch.tensor([i for cell in cells(length, ring.rank, ring.size) for i in cell]).long()


def shard(tensor: Tensor, *, dim: int, group: ProcessGroup | None = None) -> Tensor:
    """Return the positions that this process holds, of a tensor that all have.

    Args:
        tensor: Of the whole text.
        dim: Along which the positions lie.
        group: The processes that share it. `None` means: all.

    Returns:
        A copy; gradients flow through it.

    Raises:
        ConfigError: There is no process group, or this process is not in it.
    """
    return tensor.index_select(dim, places(tensor.shape[dim], group=group).to(tensor.device))


def gather(tensor: Tensor, *, dim: int, group: ProcessGroup | None = None) -> Tensor:
    """Return the whole of a tensor of which every process has its positions, without a gradient.

    Called in all processes of the group. What `shard` takes apart it puts together.

    Args:
        tensor: The positions that this process holds.
        dim: Along which they lie.
        group: The processes that share it. `None` means: all.

    Raises:
        ConfigError: There is no process group, or this process is not in it.
        ShapeError: The processes do not hold the positions of one text.
    """
    ring = ring_of(group)
    own = tensor.detach().movedim(dim, 0).contiguous()
    counts = [torch.zeros(1, dtype=torch.int64, device=own.device) for _ in range(ring.size)]
    dist.all_gather(counts, counts[0].new_tensor([own.shape[0]]), group=group)
    lengths = [int(count) for count in counts]
    check_cells("tensor", lengths, ring.size)
    most = max(lengths)  # all parts are sent as long as the longest one
    filled = torch.cat([own, own.new_zeros(most - own.shape[0], *own.shape[1:])])
    parts = [torch.empty_like(filled) for _ in range(ring.size)]
    dist.all_gather(parts, filled, group=group)
    whole = own.new_empty(sum(lengths), *own.shape[1:])
    for rank, part in enumerate(parts):
        first, last = cells(whole.shape[0], rank, ring.size)
        whole[first.start : first.stop] = part[: len(first)]
        whole[last.start : last.stop] = part[len(first) : len(first) + len(last)]
    return whole.movedim(0, dim)


def check_cells(name: str, lengths: list[int], size: int) -> None:
    """Check that processes hold as many positions as they must of a text that long.

    Raises:
        ShapeError: They do not.
    """
    whole = sum(lengths)
    wanted = [sum(map(len, cells(whole, rank, size))) for rank in range(size)]
    if lengths != wanted:
        raise ShapeError(
            f"{name} must have {wanted} positions in the {size} processes for a text of {whole}, "
            f"got {lengths}. heedful.distributed.shard cuts it so."
        )
